"""What the DNS says about a domain that sends email: SPF, DKIM, DMARC, MX and PTR."""

from outbox.net.sender_domain.dkim import Published, check_key
from outbox.net.sender_domain.dmarc import check_dmarc
from outbox.net.sender_domain.finding import Finding, Level, Record
from outbox.net.sender_domain.hosts import check_exchangers, check_pointer
from outbox.net.sender_domain.spf import check_spf

__all__ = [
    "Finding",
    "Level",
    "Published",
    "Record",
    "check_dmarc",
    "check_exchangers",
    "check_key",
    "check_pointer",
    "check_spf",
]
