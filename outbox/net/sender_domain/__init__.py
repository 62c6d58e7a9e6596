"""What other servers see of a domain that sends email: its DNS records and its addresses."""

from outbox.net.sender_domain.alignment import check_alignment
from outbox.net.sender_domain.dkim import Published, check_key
from outbox.net.sender_domain.dmarc import check_dmarc
from outbox.net.sender_domain.finding import Finding, Level, Record
from outbox.net.sender_domain.hosts import check_exchangers, check_helo, check_pointer
from outbox.net.sender_domain.reachability import check_blocklist, check_port_25, server_address
from outbox.net.sender_domain.spf import check_spf

__all__ = [
    "Finding",
    "Level",
    "Published",
    "Record",
    "check_alignment",
    "check_blocklist",
    "check_dmarc",
    "check_exchangers",
    "check_helo",
    "check_key",
    "check_pointer",
    "check_port_25",
    "check_spf",
    "server_address",
]
