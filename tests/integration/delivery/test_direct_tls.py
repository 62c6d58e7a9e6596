"""Direct delivery under policies of TLS: what arrives where, what is recorded and counted."""

import hashlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from outbox import api
from outbox.db.clock import database_now
from outbox.delivery import mx_opener
from outbox.delivery.sts_policies import write
from outbox.models import Account, Circuit, Destination, Message, SmtpSession, TlsCount
from outbox.net.mta_sts import KnownPolicy, Mode, Policy
from outbox.testing.faultlab import FaultLab
from tests.integration.delivery.direct_lab import DirectLab, direct_account, direct_lab
from tests.integration.delivery.mail_client import (
    BOB,
    Working,
    deliver,
    last_attempt,
    queue,
    queue_many,
    row,
    states,
    until,
)
from tests.integration.web.conftest import signed_in

pytestmark = pytest.mark.django_db(transaction=True)

DOMAIN = "example.net"
# Names that the certificates of the lab are for.
FIRST, SECOND = "mail.localhost", "localhost"
TLS = "offer STARTTLS\n"


@pytest.fixture
def lab(settings: LazySettings) -> Iterator[DirectLab]:
    with direct_lab(settings) as started:
        yield started


def trust(settings: LazySettings, tmp_path: Path, *servers: FaultLab) -> None:
    """Trust the authorities of these servers."""
    file = tmp_path / "authorities.pem"
    file.write_text("".join(Path(server.ca_file).read_text() for server in servers))
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": str(file)}


def publish(mode: Mode, *hosts: str, age: float = 0.0) -> None:
    """Store the MTA-STS policy of the domain, as if it had been read a while ago."""
    read_at = database_now().timestamp() - age
    known = KnownPolicy("1", Policy(mode, hosts, 3_600), read_at)
    write(DOMAIN, known, "default")


def send(account: Account, **options: Any) -> Message:
    """Queue a message that the outbox renders."""
    queued = api.send(to=BOB, subject="Hi", text="Hi", account=account, **options)
    return Message.objects.get(pk=queued.pk)


def counts() -> dict[tuple[str, str, str], int]:
    rows = TlsCount.objects.filter(domain=DOMAIN)
    return {(one.policy_type, one.result, one.host): one.count for one in rows}


def test_an_enforced_policy_leads_past_a_server_with_a_wrong_certificate(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    """Protocol item 122."""
    first = lab.server(FIRST, f"{TLS}certificate wrong-name\n")
    second = lab.server(SECOND, TLS)
    lab.domain(DOMAIN, f"10 {FIRST}", f"20 {SECOND}")
    trust(settings, tmp_path, first, second)
    publish(Mode.ENFORCE, FIRST, SECOND)

    message = queue(direct_account())
    deliver()

    assert states(message) == ["sent"]
    assert not first.ledger.accepted
    assert len(second.ledger.accepted) == 1
    session = SmtpSession.objects.get(host=SECOND)
    assert (session.tls_requested, session.tls_achieved) == ("verify", "verified")
    assert session.tls_policy.code == "tls_by_sts"
    assert counts() == {
        ("sts", "certificate-host-mismatch", FIRST): 1,
        ("sts", "", SECOND): 1,
    }


@pytest.mark.parametrize(
    ("scenario", "result"),
    [
        pytest.param("", "starttls-not-supported", id="STARTTLS removed"),
        pytest.param(f"{TLS}certificate untrusted\n", "certificate-not-trusted", id="in between"),
        pytest.param(f"{TLS}certificate expired\n", "certificate-expired", id="expired"),
    ],
)
def test_an_attacker_on_the_path_gets_nothing_under_an_enforced_policy(
    lab: DirectLab, settings: LazySettings, tmp_path: Path, scenario: str, result: str
) -> None:
    """Protocol item 122."""
    server = lab.server(FIRST, scenario)
    lab.domain(DOMAIN, f"10 {FIRST}")
    trust(settings, tmp_path, server)
    publish(Mode.ENFORCE, FIRST)

    message = queue(direct_account())
    deliver()

    assert states(message) == ["deferred"]
    assert row(message).attempts == 1
    assert not server.ledger.accepted
    assert not Destination.objects.filter(circuit_faults__gt=0).exists()  # other domains share it
    assert counts() == {("sts", result, FIRST): 1}


def test_a_server_that_no_policy_names_gets_nothing_and_its_site_is_not_at_fault(
    lab: DirectLab,
) -> None:
    server = lab.server(FIRST, TLS)
    lab.domain(DOMAIN, f"10 {FIRST}")
    publish(Mode.ENFORCE, "mx.example.net")

    message = queue(direct_account())
    deliver()

    assert states(message) == ["deferred"]
    assert row(message).reason.code == "mta_sts_other_host"
    assert not server.ledger.accepted
    assert not Destination.objects.filter(circuit_faults__gt=0).exists()
    assert counts() == {("sts", "validation-failure", FIRST): 1}


def test_a_worker_that_stops_does_not_wait_for_a_policy(lab: DirectLab) -> None:
    """The message stays queued, since it is not known what its domain requires."""
    server = lab.server(FIRST)
    lab.domain(DOMAIN, f"10 {FIRST}")
    lab.record(f'_mta-sts.{DOMAIN} TXT "v=STSv1; id=1"')
    lab.fail(f"at a <mta-sts.{DOMAIN}>: no-reply")

    with Working() as working:
        message = queue(direct_account())
        working.engine.wake()
        until(lambda: f"mta-sts.{DOMAIN}" in lab.dns.asked("A"), "the policy is being read")

    assert states(message) == ["queued"]
    assert not server.ledger.sessions


def test_messages_for_hosts_that_the_policy_excludes_count_once(lab: DirectLab) -> None:
    """No connection is attempted for them, so they leave no sessions either."""
    lab.server(FIRST, TLS)
    lab.address(SECOND)
    lab.domain(DOMAIN, f"10 {FIRST}", f"20 {SECOND}")
    publish(Mode.ENFORCE, "mx.example.net")
    account = direct_account()

    messages = [queue(account) for _ in range(3)]
    deliver()

    assert [states(message) for message in messages] == [["deferred"]] * 3
    assert counts() == {
        ("sts", "validation-failure", FIRST): 1,
        ("sts", "validation-failure", SECOND): 1,
    }
    assert not SmtpSession.objects.exists()


def test_a_policy_in_testing_mode_delivers_and_counts(lab: DirectLab) -> None:
    """Protocol item 122."""
    server = lab.server(FIRST)
    lab.domain(DOMAIN, f"10 {FIRST}")
    publish(Mode.TESTING, FIRST)

    message = queue(direct_account())
    deliver()

    assert states(message) == ["sent"]
    assert len(server.ledger.accepted) == 1
    session = SmtpSession.objects.get()
    assert (session.tls_requested, session.tls_achieved) == ("opportunistic", "none")
    assert session.tls_policy.code == "tls_sts_testing"
    assert session.tls_why.code == "starttls_not_offered"
    assert counts() == {("sts", "starttls-not-supported", FIRST): 1}


def test_an_expired_policy_requires_nothing(lab: DirectLab) -> None:
    lab.server(FIRST)
    lab.domain(DOMAIN, f"10 {FIRST}")
    publish(Mode.ENFORCE, FIRST, age=3_601.0)

    message = queue(direct_account())
    deliver()

    assert states(message) == ["sent"]
    assert counts() == {("no-policy-found", "starttls-not-supported", FIRST): 1}


@pytest.mark.parametrize(
    ("digest", "rule", "expected", "counted"),
    [
        pytest.param("cd" * 32, "", "deferred", "validation-failure", id="another certificate"),
        pytest.param("cd" * 32, "at tlsa: servfail", "deferred", "dnssec-invalid", id="bogus"),
    ],
)
def test_dane_sends_nothing_without_a_match(
    lab: DirectLab, digest: str, rule: str, expected: str, counted: str
) -> None:
    """Protocol item 124."""
    server = lab.server(FIRST, TLS)
    lab.domain(DOMAIN, f"10 {FIRST}")
    lab.record(f"_{lab.port}._tcp.{FIRST} TLSA 3 0 1 {digest}")
    lab.fail(f"authenticated {DOMAIN}\nauthenticated localhost\n{rule}")

    message = queue(direct_account())
    deliver()

    assert states(message) == [expected]
    assert not server.ledger.accepted
    assert counts() == {("tlsa", counted, FIRST): 1}


def test_a_certificate_that_dane_confirms_needs_no_authority(lab: DirectLab) -> None:
    """Protocol item 124."""
    server = lab.server(FIRST, f"{TLS}certificate untrusted\n")
    own = Path(server.ca_file).with_name("untrusted.pem").read_text()
    der = ssl.PEM_cert_to_DER_cert(own[own.index("-----BEGIN CERT") :].partition("-----BEGIN P")[0])
    lab.domain(DOMAIN, f"10 {FIRST}")
    lab.record(f"_{lab.port}._tcp.{FIRST} TLSA 3 0 1 {hashlib.sha256(der).hexdigest()}")
    lab.fail(f"authenticated {DOMAIN}\nauthenticated localhost\n")

    message = queue(direct_account())
    deliver()

    assert states(message) == ["sent"]
    session = SmtpSession.objects.get()
    assert (session.tls_requested, session.tls_achieved) == ("dane", "dane")
    assert counts() == {("tlsa", "", FIRST): 1}


def test_requiretls_needs_a_proven_server_that_offers_it(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    """Protocol item 125."""
    server = lab.server(FIRST, "offer STARTTLS, REQUIRETLS\n")
    lab.domain(DOMAIN, f"10 {FIRST}")
    trust(settings, tmp_path, server)
    account = direct_account()

    unproven = queue(account, require_tls=True)
    deliver()
    assert states(unproven) == ["deferred"]
    assert row(unproven).reason.code == "requiretls_unproven"
    assert not server.ledger.accepted

    publish(Mode.ENFORCE, FIRST)
    proven = queue(account, require_tls=True)
    deliver()
    assert states(proven) == ["sent"]
    assert "REQUIRETLS" in last_attempt(proven).transfer


def test_a_domain_with_a_strict_policy_does_not_stop_the_others_of_its_site(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    server = lab.server(FIRST, f"{TLS}certificate wrong-name\n")
    lab.domain(DOMAIN, f"10 {FIRST}")
    lab.domain("other.example", f"10 {FIRST}")
    trust(settings, tmp_path, server)
    publish(Mode.ENFORCE, FIRST)
    account = direct_account()

    strict = [queue(account) for _ in range(4)]
    deliver()
    assert len(server.ledger.sessions) == 1
    assert {last_attempt(one).session for one in strict} == {SmtpSession.objects.get()}
    assert counts() == {("sts", "certificate-host-mismatch", FIRST): 1}
    other = queue(account, "carol@other.example")
    deliver()

    assert [states(message) for message in strict] == [["deferred"]] * 4
    # The first was connected for, and the other message.
    assert Destination.objects.get(key=f"mx:{FIRST}").minute_count == 2
    assert row(strict[0]).reason.code == "certificate_names"
    assert states(other) == ["sent"]
    assert len(server.ledger.accepted) == 1


def test_a_failure_at_the_floor_of_the_site_is_its_fault(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    lab.server(FIRST)
    lab.domain(DOMAIN, f"10 {FIRST}")
    shaping = tmp_path / "shaping.toml"
    shaping.write_text('["localhost"]\ntls_floor = "encrypted"\n')
    settings.OUTBOX = settings.OUTBOX | {"MX_SHAPING": str(shaping)}

    message = queue(direct_account())
    deliver()

    assert states(message) == ["deferred"]
    assert Destination.objects.filter(circuit_faults=1).exists()


def test_a_session_that_could_not_be_opened_shows_why_its_tls_was_requested(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    server = lab.server(FIRST, "at greeting: 554 5.3.2 no service")
    lab.domain(DOMAIN, f"10 {FIRST}")
    trust(settings, tmp_path, server)
    publish(Mode.ENFORCE, FIRST)

    message = queue(direct_account())
    deliver()

    assert states(message) == ["deferred"]
    session = last_attempt(message).session
    assert session is not None
    assert session.tls_requested == "verify"
    assert session.tls_policy.code == "tls_by_sts"
    staff = signed_in(User.objects.create_superuser("staff"))
    record = staff.get(f"/admin/outbox/message/{message.pk}/record/").json()
    assert record["attempts"][0]["session"]["tls_policy"]["code"] == "tls_by_sts"
    transcript = staff.get(f"/admin/outbox/message/{message.pk}/transcript/").content.decode()
    assert f"a valid certificate. {session.tls_policy}" in transcript


def test_a_host_without_requiretls_leads_to_the_next_one(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    first = lab.server(FIRST, TLS)
    second = lab.server(SECOND, "offer STARTTLS, REQUIRETLS\n")
    lab.domain(DOMAIN, f"10 {FIRST}", f"20 {SECOND}")
    trust(settings, tmp_path, first, second)
    publish(Mode.ENFORCE, FIRST, SECOND)
    account = direct_account()

    usual = queue(account)
    required = queue(account, require_tls=True)
    deliver()

    assert states(usual) == states(required) == ["sent"]
    assert len(first.ledger.accepted) == len(second.ledger.accepted) == 1
    assert "REQUIRETLS" in last_attempt(required).transfer


@pytest.mark.parametrize(
    ("scenario", "expected", "code"),
    [
        pytest.param(TLS, "failed", "requiretls_not_offered", id="none offers it"),
        pytest.param(
            "at greeting: 421 4.3.2 busy", "deferred", "shutdown", id="one is unavailable"
        ),
    ],
)
def test_a_message_that_requires_tls_fails_only_if_no_host_offers_it(
    lab: DirectLab, settings: LazySettings, tmp_path: Path, scenario: str, expected: str, code: str
) -> None:
    first = lab.server(FIRST, TLS)
    second = lab.server(SECOND, scenario)
    lab.domain(DOMAIN, f"10 {FIRST}", f"20 {SECOND}")
    trust(settings, tmp_path, first, second)
    publish(Mode.ENFORCE, FIRST, SECOND)

    message = queue(direct_account(), require_tls=True)
    deliver()

    assert states(message) == [expected]
    assert row(message).reason.code == code
    assert not first.ledger.accepted
    assert not Destination.objects.filter(circuit_faults__gt=0).exists()


def test_a_message_that_requires_tls_fails_if_none_of_the_hosts_tried_offers_it(
    lab: DirectLab, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all hosts of a domain are tried."""
    monkeypatch.setattr(mx_opener, "_HOSTS_MAX", 1)
    first, second = lab.server(FIRST, TLS), lab.server(SECOND, TLS)
    lab.domain(DOMAIN, f"10 {FIRST}", f"20 {SECOND}")
    trust(settings, tmp_path, first, second)
    publish(Mode.ENFORCE, FIRST, SECOND)

    message = queue(direct_account(), require_tls=True)
    deliver()

    assert states(message) == ["failed"]
    assert row(message).reason.code == "requiretls_not_offered"
    assert not second.ledger.sessions


def test_hosts_that_a_policy_excludes_do_not_count_as_tried(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    server = lab.server(FIRST, TLS)
    others = [f"mx{number}.example.net" for number in range(5)]
    for name in others:
        lab.address(name)
    lab.domain(DOMAIN, *(f"10 {name}" for name in others), f"20 {FIRST}")
    trust(settings, tmp_path, server)
    publish(Mode.ENFORCE, FIRST)

    message = queue(direct_account())
    deliver()

    assert states(message) == ["sent"]


@pytest.mark.parametrize("excluded", [True, False], ids=["excluded", "connected to"])
def test_each_host_of_an_attempt_is_counted_once_and_not_those_after_them(
    lab: DirectLab, settings: LazySettings, tmp_path: Path, *, excluded: bool
) -> None:
    """An attempt connects to five hosts. Where a policy excludes them, it would have been five."""
    hosts = [f"mx{number}.localhost" for number in range(7)]
    servers = [lab.server(host, f"{TLS}certificate wrong-name\n") for host in hosts]
    lab.domain(DOMAIN, *(f"{number} {host}" for number, host in enumerate(hosts)))
    trust(settings, tmp_path, *servers)
    publish(Mode.ENFORCE, *(["mx.example.net"] if excluded else hosts))
    account = direct_account()

    messages = queue_many(account, 3)
    deliver()

    assert [states(message) for message in messages] == [["deferred"]] * 3
    result = "validation-failure" if excluded else "certificate-host-mismatch"
    assert counts() == {("sts", result, host): 1 for host in hosts[:5]}
    connected = [len(server.ledger.sessions) for server in servers]
    assert connected == ([0] * 7 if excluded else [1] * 5 + [0] * 2)


def test_a_host_with_a_wrong_certificate_stays_the_first_for_other_domains(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    first = lab.server(FIRST, f"{TLS}certificate wrong-name\n")
    second = lab.server(SECOND, TLS)
    for domain in (DOMAIN, "other.example"):
        lab.domain(domain, f"10 {FIRST}", f"20 {SECOND}")
    trust(settings, tmp_path, first, second)
    publish(Mode.ENFORCE, FIRST, SECOND)
    account = direct_account()

    strict, other = queue(account), queue(account, "carol@other.example")
    deliver()

    assert states(strict) == states(other) == ["sent"]
    assert [one.recipients for one in second.ledger.accepted] == [["bob@example.net"]]
    assert [one.recipients for one in first.ledger.accepted] == [["carol@other.example"]]


def test_a_refused_message_does_not_prove_that_the_site_works(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    """Another message finds that out, and does not wait until the lease of the probe ends."""
    server = lab.server(FIRST, f"{TLS}certificate wrong-name\n")
    lab.domain(DOMAIN, f"10 {FIRST}")
    trust(settings, tmp_path, server)
    publish(Mode.ENFORCE, FIRST)
    account = direct_account()
    queue(account)
    deliver()
    down = Destination.objects.filter(account=account, key=f"mx:{FIRST}")
    until = database_now()
    down.update(circuit=Circuit.OPEN, circuit_faults=3, circuit_until=until)

    message = queue(account)
    deliver()

    assert states(message) == ["deferred"]
    found = down.get()
    assert (found.circuit, found.circuit_faults) == (Circuit.OPEN, 3)
    assert found.circuit_until is not None
    assert found.circuit_until > until


def test_requiretls_is_a_parameter_of_the_message_that_requires_it(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    """Protocol item 125, in the commands and bytes that the server got."""
    server = lab.server(FIRST, "offer STARTTLS, REQUIRETLS, 8BITMIME\n")
    lab.domain(DOMAIN, f"10 {FIRST}")
    trust(settings, tmp_path, server)
    publish(Mode.ENFORCE, FIRST)
    account = direct_account()
    no = {"TLS-Required": "No"}  # means nothing beside the requirement (RFC 8689 4.1)
    sent = {
        "usual": send(account),
        "required": send(account, require_tls=True),
        "both": send(account, require_tls=True, headers=no),
    }
    deliver()

    found = {one.message_id.strip("<>"): one for one in server.ledger.accepted}
    wire = {name: found[message.message_id] for name, message in sent.items()}
    required = {name: "REQUIRETLS" in one.parameters.split() for name, one in wire.items()}
    assert required == {"usual": False, "required": True, "both": True}
    for name, message in sent.items():
        assert wire[name].source == message.source.read()
    assert wire["both"].source.count(b"\r\nTLS-Required: No\r\n") == 1
    assert server.ledger.violations == []


def test_tls_required_no_is_sent_where_a_policy_forbids_it(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    """Protocol item 125. Only a header that the outbox was given counts, not one in the bytes."""
    server = lab.server(FIRST, f"{TLS}certificate wrong-name\n")
    lab.domain(DOMAIN, f"10 {FIRST}")
    trust(settings, tmp_path, server)
    publish(Mode.ENFORCE, FIRST)
    account = direct_account()
    head = b"Message-ID: <1@example.org>\r\nFrom: alice@example.org\r\nTLS-Required: No\r\n"

    given = send(account, headers={"TLS-Required": "No"})
    finished = queue(account, source=head + b"\r\nHi\r\n")
    deliver()

    assert states(given) == ["sent"]
    assert states(finished) == ["deferred"]
    [accepted] = server.ledger.accepted
    assert "REQUIRETLS" not in accepted.parameters
    assert accepted.source.count(b"\r\nTLS-Required: No\r\n") == 1
    session = last_attempt(given).session
    assert session is not None
    assert (session.tls_requested, session.tls_achieved) == ("opportunistic", "encrypted")


def test_the_levels_of_tls_are_in_each_download(
    lab: DirectLab, settings: LazySettings, tmp_path: Path
) -> None:
    good, clear = lab.server(FIRST, TLS), lab.server(SECOND)
    lab.domain(DOMAIN, f"10 {FIRST}")
    lab.domain("other.example", f"10 {SECOND}")
    trust(settings, tmp_path, good, clear)
    publish(Mode.ENFORCE, FIRST)
    account = direct_account()
    both = queue(account, BOB, "carol@other.example", tls_optional=True)
    alone = queue(account)
    deliver()
    assert states() == ["sent"] * 3

    staff = signed_in(User.objects.create_superuser("staff"))
    record = staff.get(f"/admin/outbox/message/{alone.pk}/record/").json()
    transcript = staff.get(f"/admin/outbox/message/{alone.pk}/transcript/").content.decode()
    exported = staff.get("/admin/outbox/message/export/json/")
    rows = json.loads(b"".join(cast("Any", exported).streaming_content))

    session = record["attempts"][0]["session"]
    assert (session["tls_requested"], session["tls_achieved"]) == ("verify", "verified")
    assert session["tls_policy"]["code"] == "tls_by_sts"
    assert record["message"]["tls_requirement"] == ""
    assert "TLS requested: TLS with a valid certificate. " in transcript
    assert "TLS achieved: encrypted, certificate verified." in transcript
    found = {
        (row["id"], row["address"]): (
            row["tls_requirement"], row["tls_requested"], row["tls_achieved"],
        )
        for row in rows
    }  # fmt: skip
    assert found == {
        (both.pk, BOB): ("optional", "opportunistic", "verified"),
        (both.pk, "carol@other.example"): ("optional", "opportunistic", "none"),
        (alone.pk, BOB): ("", "verify", "verified"),
    }
