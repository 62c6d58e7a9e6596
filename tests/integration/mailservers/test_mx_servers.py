"""Delivery by MX to Postfix and Exim: what they have stored agrees with what is recorded."""

import datetime as dt
import hashlib
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import LazySettings

from dev.sockets import free_port
from outbox.db.clock import database_now
from outbox.delivery.sts_policies import write
from outbox.models import Message, Recipient, State
from outbox.net.mta_sts import KnownPolicy, Mode, Policy
from outbox.testing.certificates import Authority, Certificate
from tests.integration.delivery.conftest import OURS
from tests.integration.delivery.direct_lab import direct_account
from tests.integration.delivery.mail_client import deliver, last_attempt, queue, row
from tests.mx_servers import postfix, unpack
from tests.mx_servers.base import MxServer, Stored
from tests.mx_servers.exim import Exim
from tests.mx_servers.postfix import Postfix
from tests.unbound_server import PROGRAM, Unbound

IS_REQUIRED = bool(os.environ.get("MAIL_SERVERS_REQUIRED"))
PLAIN, SIGNED = "plain.test", "signed.test"
SERVERS = ("postfix", "exim")
NETWORKS = {"postfix": "127.0.71", "exim": "127.0.72"}
# Nothing listens there. A host that failed is tried last for a while: each domain has its own.
DEAD = {"postfix": "127.0.73.1", "exim": "127.0.73.2"}
GREYLISTED = f"greylisting-exim.{PLAIN}"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.system,
    pytest.mark.timeout(600),
]


class Expected(NamedTuple):
    """What is recorded of the message to one domain."""

    state: str
    requested: str = ""
    achieved: str = ""
    reason: str = ""  # of a deferred recipient
    why: str = ""  # the achieved level is not higher


# By domain, whose name is completed with the server's name. All but the ones of DANE are in PLAIN.
EXPECTED = {
    "dead-first": Expected("sent", "opportunistic", "verified"),
    "clear": Expected("sent", "opportunistic", "none", why="starttls_not_offered"),
    "wrong": Expected("sent", "opportunistic", "encrypted", why="certificate_rejected"),
    "sts": Expected("sent", "verify", "verified"),
    "sts-wrong": Expected("deferred", reason="certificate_names"),
    "sts-clear": Expected("deferred", reason="starttls_not_offered"),
    "dane": Expected("sent", "dane", "dane"),
    "dane-other": Expected("deferred", reason="dane_mismatch"),
}


class Lab(NamedTuple):
    """The servers and the resolver."""

    servers: Mapping[str, MxServer]
    unbound: Unbound
    port: int
    ca_file: Path

    def stored(self) -> dict[str, list[Stored]]:
        """Return what each server has in its mailbox."""
        return {name: server.stored() for name, server in self.servers.items()}


def hosts(name: str) -> dict[str, str]:
    """Return the address of each kind of host that a server has."""
    kinds = ("good", "wrong", "clear", "untrusted")
    return {f"{kind}-{name}": f"{NETWORKS[name]}.{i}" for i, kind in enumerate(kinds, start=1)}


def plain_zone() -> str:
    lines = []
    for name in SERVERS:
        lines += [f"{host} 60 A {address}" for host, address in hosts(name).items()]
        lines += [
            f"dead-{name} 60 A {DEAD[name]}",
            f"dead-first-{name} 60 MX 10 dead-{name}",
            f"dead-first-{name} 60 MX 20 good-{name}",
            f"clear-{name} 60 MX 10 clear-{name}",
            f"wrong-{name} 60 MX 10 wrong-{name}",
            f"sts-{name} 60 MX 10 good-{name}",
            f"sts-wrong-{name} 60 MX 10 wrong-{name}",
            f"sts-clear-{name} 60 MX 10 clear-{name}",
            f"greylisting-{name} 60 MX 10 good-{name}",
        ]
    return "\n".join(lines) + "\n"


def signed_zone(port: int, certificate: Path) -> str:
    pem = certificate.read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])
    lines = []
    for name in SERVERS:
        address = hosts(name)[f"untrusted-{name}"]
        for domain, digest in (
            ("dane", hashlib.sha256(der).hexdigest()),
            ("dane-other", "cd" * 32),
        ):
            lines += [
                f"{domain}-{name} 60 MX 10 mx-{domain}-{name}",
                f"mx-{domain}-{name} 60 A {address}",
                f"_{port}._tcp.mx-{domain}-{name} 60 TLSA 3 0 1 {digest}",
            ]
    return "\n".join(lines) + "\n"


def required_programs() -> None:
    """Unpack the servers if the run requires them; skip the test if it cannot have them."""
    if IS_REQUIRED:
        unpack.unpack()  # raises if that fails
    elif PROGRAM is None:
        pytest.skip("the package unbound is not installed")
    elif not unpack.is_unpacked():
        pytest.skip("python3 -m tests.mx_servers.unpack was not run")
    elif not postfix.CAN_RUN:
        pytest.skip("Postfix needs root")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    required_programs()
    names = [f"good-{name}.{PLAIN}" for name in SERVERS]
    authority = Authority(tmp_path, names)
    for kind in Certificate:
        authority.context(kind)  # it writes the file
    files = {
        "good": tmp_path / f"{Certificate.GOOD}.pem",
        "wrong": tmp_path / f"{Certificate.WRONG_NAME}.pem",
        "clear": None,
        "untrusted": tmp_path / f"{Certificate.UNTRUSTED}.pem",
    }
    certificates = {
        name: {address: files[host.partition("-")[0]] for host, address in hosts(name).items()}
        for name in SERVERS
    }
    port = free_port()
    untrusted = files["untrusted"]
    assert untrusted is not None
    with ExitStack() as stack:
        servers = {
            "postfix": Postfix(port, certificates["postfix"]),
            "exim": Exim(port, certificates["exim"], greylisted=GREYLISTED),
        }
        for server in servers.values():
            stack.enter_context(server)
        unbound = Unbound(
            signed={SIGNED: signed_zone(port, untrusted)}, plain={PLAIN: plain_zone()}
        )
        stack.enter_context(unbound)
        yield Lab(servers, unbound, port, authority.ca_file)


def publish(domain: str, host: str) -> None:
    """Store an MTA-STS policy that is enforced, as if it had just been read."""
    policy = Policy(Mode.ENFORCE, (host,), 3_600)
    write(domain, KnownPolicy("1", policy, database_now().timestamp()), "default")


def address_in(case: str, name: str) -> str:
    zone = SIGNED if case.startswith("dane") else PLAIN
    return f"bob@{case}-{name}.{zone}"


def recorded(message: Message, address: str) -> Expected:
    """Return what the database has about a message."""
    recipient = row(message, address)
    session = last_attempt(message).session if recipient.state == State.SENT else None
    if session is None:
        return Expected(recipient.state, reason=recipient.reason.code)
    return Expected(
        recipient.state,
        session.tls_requested,
        session.tls_achieved,
        recipient.reason.code,
        session.tls_why.code,
    )


def ledger_of_database() -> dict[str, list[Stored]]:
    """Return what each server should have stored, by the recipients that are sent."""
    ledger: dict[str, list[Stored]] = {name: [] for name in SERVERS}
    for recipient in Recipient.objects.filter(state=State.SENT).select_related("message"):
        session = last_attempt(recipient.message).session
        assert session is not None
        (server,) = (name for name in SERVERS if session.address.startswith(NETWORKS[name]))
        ledger[server].append(
            Stored(
                recipient.message.message_id,
                recipient.address,
                recipient.remote_queue_id,
                session.tls_achieved != "none",
            )
        )
    return ledger


def assert_ledgers_agree(lab: Lab) -> None:
    stored, expected = lab.stored(), ledger_of_database()
    for name in SERVERS:
        assert sorted(stored[name]) == sorted(expected[name]), name


def test_two_real_servers_have_what_is_recorded_as_sent(lab: Lab, settings: LazySettings) -> None:
    """Protocol items 117, 122 and 124, with servers of different make."""
    settings.OUTBOX = (
        settings.OUTBOX
        | OURS
        | {
            "CA_FILE": str(lab.ca_file),
            "DNS_SERVERS": [lab.unbound.address],
            "MX_PORT": lab.port,
        }
    )
    for name in SERVERS:
        for case, kind in (("sts", "good"), ("sts-wrong", "wrong"), ("sts-clear", "clear")):
            publish(f"{case}-{name}.{PLAIN}", f"{kind}-{name}.{PLAIN}")
    account = direct_account()
    messages = {
        (case, name): queue(account, address_in(case, name))
        for case in EXPECTED
        for name in SERVERS
    }
    greylisted = queue(account, f"bob@{GREYLISTED}")

    deliver()

    found = {key: recorded(message, address_in(*key)) for key, message in messages.items()}
    assert found == {key: EXPECTED[key[0]] for key in messages}
    for name in SERVERS:
        session = last_attempt(messages["dead-first", name]).session
        assert session is not None
        assert session.host == f"good-{name}.{PLAIN}"
        assert [address for address, _ in session.failed_addresses] == [DEAD[name]]
    waiting = row(greylisted, f"bob@{GREYLISTED}")
    assert (waiting.state, waiting.reply_code, waiting.reply_enhanced) == ("deferred", 451, "4.7.1")
    assert_ledgers_agree(lab)

    due = database_now() - dt.timedelta(seconds=1)
    Recipient.objects.filter(pk=waiting.pk).update(next_attempt_at=due)
    deliver()

    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempts) == ("sent", 2)
    assert_ledgers_agree(lab)
    assert sum(map(len, lab.stored().values())) == Recipient.objects.filter(state="sent").count()
