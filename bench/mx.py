"""`make bench-mx`: direct delivery to many MX sites, compared with Postfix, as Markdown.

    python -m bench.mx [--sites 500] [--each 10] [--rounds 3] [--many 10000] [--only drain sites]

`drain`: two worker processes and a Postfix in turn deliver the same queue to the same sites, whose
servers wait 20 ms before each group of replies, through the same DNS server. The outbox has ended
when its last outcome is recorded, and Postfix when the last message is received. `sites`: a claim
with many destinations, and the memory of a worker that delivers one message to each of them.
Nothing leaves loopback. It needs root, for Postfix and for port 53. Quote the ratios.
"""

import argparse
import json
import os
import statistics
import sys
import time
from email.message import EmailMessage
from email.utils import make_msgid

import psycopg

from bench.claims import MESSAGES, OF_MESSAGES, RECIPIENTS, insert
from bench.contenders._stage import body
from bench.memory import peak_of_drain
from bench.mx_postfix import PostfixClient
from bench.mx_sites import DNS_HOST, SENDER, Sites, mx_domain, mx_sites
from bench.rivals import Case, Figures, Outbox
from bench.world import OURS, Contender, World, world
from dev.sockets import free_port
from tests import unbound_server
from tests.mx_servers import unpack

_DELAY_MS = 20.0
_WITHIN = 600.0  # seconds for one drain
_FEW = 10  # sites that many are compared with
_FIND_ROUNDS = 30
_SITES = {
    "account_id": "a.id",
    "key": "'mx:mx.d' || n || '.bench.test'",
    "mx_hosts": "'mx.d' || n || '.bench.test'",
    "circuit": "'closed'",
}
_OF_SITES = """outbox_message m JOIN outbox_destination d
ON d.id = (SELECT MIN(id) FROM outbox_destination) + m.id %% %(sites)s"""


class OutboxByMx(Outbox):
    """Two engines that deliver directly."""

    sites: Sites
    site_count, each = 0, 0

    def use(self, sites: Sites, site_count: int, each: int) -> None:
        """Deliver so many messages to each of these sites."""
        self.sites, self.site_count, self.each = sites, site_count, each
        self.environment |= {
            "OUTBOX_DNS_SERVERS": sites.dns,
            "OUTBOX_MX_PORT": str(sites.port),
            "OUTBOX_EHLO_NAME": "sender.bench.test",
        }

    def queueing(self, way: str, count: int) -> Contender:
        return Contender("outbox_direct", self.site_count, self.each, environment=self.environment)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.mx", description=__doc__)
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--each", type=int, default=10, help="messages to each site")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=10_000, help="sites with one message each")
    parts = ("drain", "sites")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("it needs root, for Postfix and for port 53")
    if unbound_server.PROGRAM is None:
        parser.error("it needs the program unbound")
    if "drain" in options.only:
        unpack.unpack()
    began = time.monotonic()
    with world() as servers:
        if "drain" in options.only:
            _compare(servers, options)
        if "sites" in options.only:
            _many_sites(servers, options.many)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr)


def _compare(servers: World, options: argparse.Namespace) -> None:
    rates: dict[str, list[float]] = {"outbox": [], "Postfix": []}
    count = options.sites * options.each
    for number in range(options.rounds):
        for name, of_name in rates.items():
            # New servers for each: they count the messages of one run only.
            with mx_sites(servers.scratch, options.sites, delay_ms=_DELAY_MS) as sites:
                if name == "outbox":
                    peer = OutboxByMx(servers)
                    peer.use(sites, options.sites, options.each)
                    found = _drained(peer, count)
                else:
                    found = _postfix(sites, options.sites, options.each)
                received = sites.received()
            if received["messages"] != count:
                raise RuntimeError(f"{name}: {received['messages']} messages of {count}")
            of_name.append(found)
            print(
                f"round {number + 1}, {name}: {found:,.0f} per second, "
                f"{received['connections']:,} connections, {received['peak']} at a time",
                file=sys.stderr,
            )
    print(f"| {count:,} messages to {options.sites} sites | per second, median | lowest, highest |")
    print("|---|--:|--:|")
    for name, found in rates.items():
        print(
            f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f}, {max(found):,.0f} |"
        )
    ours, theirs = (statistics.median(found) for found in rates.values())
    print(f"\nThe outbox has {ours / theirs:.2f} x the rate of Postfix.", flush=True)


def _drained(peer: OutboxByMx, count: int) -> float:
    """Return the messages per second of the outbox, until its last outcome was recorded."""
    found: Figures = peer.measure_draining(Case(count))
    return found.rate


def _postfix(sites: Sites, site_count: int, each: int) -> float:
    """Return the messages per second of Postfix, from its release to the last message."""
    messages = [
        (f"to{number}@{mx_domain(site)}", _source(f"to{number}@{mx_domain(site)}"))
        for number in range(each)
        for site in range(site_count)
    ]
    with PostfixClient(free_port(), dns_host=DNS_HOST, mx_port=sites.port) as postfix:
        postfix.fill(SENDER, messages)
        began = time.time()
        postfix.release()
        ended = sites.wait_received(len(messages), _WITHIN)
    return len(messages) / (ended - began)


def _source(recipient: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = "Subject"
    message["From"], message["To"] = SENDER, recipient
    message["Message-ID"] = make_msgid(domain=SENDER.rpartition("@")[2])
    message.set_content(body())
    return message.as_bytes()


def _many_sites(servers: World, many: int) -> None:
    few_found, many_found = (_times(servers, sites, many) for sites in (_FEW, many))
    print(f"\n| {many:,} messages | to {_FEW} sites | to {many:,} sites | |\n|---|--:|--:|--:|")
    for name, title in (("look", "look for due destinations"), ("claim", "claim at one of them")):
        before, after = few_found[name], many_found[name]
        print(f"| {title} | {before:.1f} ms | {after:.1f} ms | {after / before:.2f} x |")
    idle, peak = _peak(servers, 0), _peak(servers, many)
    print(f"| memory of a worker | idle {idle:.0f} MB | {peak:.0f} MB | + {peak - idle:.0f} MB |")


def _times(servers: World, sites: int, count: int) -> dict[str, float]:
    """Return the milliseconds of a look for due destinations and of a claim at one of them."""
    servers.fresh("sites", "ours_empty")
    facts = {"state": "queued", "count": count, "senders": 1, "sites": sites}
    with psycopg.connect(servers.url("sites"), autocommit=True) as connection:
        connection.execute("UPDATE outbox_account SET route = 'direct', host = ''")
        accounts = "generate_series(0, %(sites)s - 1) AS n, outbox_account a"
        insert(connection, "outbox_destination", _SITES, accounts, facts)
        insert(connection, "outbox_message", MESSAGES, OF_MESSAGES, facts)
        insert(connection, "outbox_recipient", RECIPIENTS, _OF_SITES, facts)
    servers.vacuum("sites")
    environment = servers.environment("sites", OURS)
    run = Contender("outbox_find_due", _FIND_ROUNDS, environment=environment)
    figures: dict[str, float] = json.loads(run.run())
    return figures


def _peak(servers: World, sites: int) -> float:
    """Return the largest resident size of a worker that delivers a message to each site, in MB."""
    peer = OutboxByMx(servers)
    with mx_sites(servers.scratch, max(sites, 1)) as found:
        peer.use(found, sites, 1)
        peer.fresh()
        if sites:
            peer.queueing("many", sites).run()
            servers.vacuum(peer.database)
        peak = peak_of_drain(peer.environment)
        if found.received()["distinct"] < sites:
            raise RuntimeError(f"{found.received()} of {sites} messages")
    return peak


if __name__ == "__main__":
    main()
