"""Daily reports on TLS, queued as emails, and the tables that they are made from."""

import datetime as dt
import gzip
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from outbox import api
from outbox.api.alarms.check import check
from outbox.api.tls_report_post import PostResult, post_report
from outbox.api.tls_reports import COUNTS_KEPT_FOR, _send, _stored, forget_old, send_due
from outbox.db.clock import database_now
from outbox.delivery.sts_policies import StoredPolicies, read, write
from outbox.mail.mime_reader import read_entities
from outbox.mail.tls_report import TlsReport
from outbox.models import Account, AlarmKind, LastRun, Message, MtaStsPolicy, TlsCount
from outbox.models.transport_policy import (
    POST_FAILURE_MAX,
    REPORT_ACCEPTED,
    TlsCountKey,
    add_tls_counts,
    day_of,
)
from outbox.net.address import is_public
from outbox.net.http import Response, request
from outbox.net.mta_sts import KnownPolicy, Mode, Policy
from outbox.reasons import Reason, ReasonCode
from outbox.testing.pytest_plugin import StartDnsLab
from tests.integration.net.test_http import reply, server
from tests.integration.smtp.certificates import Authority

DAY = dt.timedelta(days=1)
ZONE = """
    record _smtp._tls.x.test TXT "v=TLSRPTv1; rua=mailto:reports@x.test"
"""
REPORT = TlsReport(
    domain="x.test", day=dt.date(2026, 1, 1), organization="x", contact="x", submitter="x.test"
)
POLICY = Policy(Mode.TESTING, ("*.x.test",), 86_400)

pytestmark = pytest.mark.django_db


def count(domain: str, result: str = "", *, back: int = 1, worker: int = 1, times: int = 1) -> None:
    day = day_of(database_now("default")) - back * DAY
    add_tls_counts({TlsCountKey(day, worker, domain, "sts", result, "mx.x.test"): times}, "default")


@pytest.fixture
def _loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow reports to the servers of the tests."""
    defaults = post_report.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "is_allowed", lambda address: True)


def at(hours: int) -> dt.datetime:
    """Return a time today, in UTC."""
    return day_of(database_now("default")) + dt.timedelta(hours=hours)


@pytest.fixture
def _reporting(settings: LazySettings, shop: Account, dns_lab: StartDnsLab) -> None:
    settings.OUTBOX = settings.OUTBOX | {
        "DNS_SERVERS": (dns_lab(ZONE).address,),
        "TLS_REPORT_ORGANIZATION": "Example Ltd",
    }


@pytest.mark.usefixtures("_reporting")
def test_the_report_of_a_day_is_queued_once(shop: Account) -> None:
    count("x.test", times=3)
    count("x.test", times=2, worker=2)
    count("x.test", "certificate-expired")
    count("silent.test")
    count("x.test", back=0)  # today is not over
    write("x.test", KnownPolicy("1", POLICY, database_now().timestamp()), "default")
    assert send_due("default", at(hours=3)) == 1
    assert send_due("default", at(hours=6)) == 0
    message = Message.objects.get()
    assert [one.address for one in message.recipients.all()] == ["reports@x.test"]
    assert message.envelope_sender == ""
    assert message.tls_requirement == "optional"
    source = message.source.read()
    assert b'multipart/report; report-type="tlsrpt"' in source
    assert b"TLS-Required: No\r\n" in source
    assert b"TLS-Report-Domain: x.test\r\n" in source
    assert b"\r\nAuto-Submitted: " in source
    report = next(
        one.content() for one in read_entities(source) if one.content_type.endswith("tlsrpt+gzip")
    )
    found = json.loads(gzip.decompress(report))
    assert found["contact-info"] == shop.identity.spec
    assert found["policies"][0]["summary"] == {
        "total-successful-session-count": 5,
        "total-failure-session-count": 1,
    }
    assert found["policies"][0]["policy"]["mx-host"] == ["*.x.test"]


@pytest.mark.usefixtures("_reporting")
def test_no_report_is_sent_without_an_organization(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"TLS_REPORT_ORGANIZATION": ""}
    count("x.test")
    assert send_due("default", at(hours=3)) == 0
    assert not Message.objects.exists()


@pytest.mark.usefixtures("_reporting")
def test_a_dns_server_that_fails_sends_nothing(
    settings: LazySettings, dns_lab: StartDnsLab
) -> None:
    lab = dns_lab("at txt: servfail")
    settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": (lab.address,)}
    count("x.test")
    assert send_due("default", at(hours=3)) == 0
    assert not TlsCount.objects.filter(is_reported=True).exists()  # the next pass asks again


@pytest.mark.usefixtures("_reporting")
def test_another_default_account_sends_no_second_report(shop: Account) -> None:
    count("x.test")
    assert send_due("default", at(hours=3)) == 1
    TlsCount.objects.update(is_reported=False)  # as if a pass had ended too early
    Account.objects.filter(pk=shop.pk).update(from_address="shop@example.net")
    send_due("default", at(hours=6))
    assert Message.objects.count() == 1


@pytest.mark.usefixtures("_reporting")
def test_a_day_is_reported_when_its_last_sessions_are_counted() -> None:
    count("x.test")
    assert send_due("default", at(hours=1)) == 0
    assert send_due("default", at(hours=2)) == 1


def test_a_domain_is_asked_once_and_a_day_is_read_at_once(
    settings: LazySettings, shop: Account, dns_lab: StartDnsLab
) -> None:
    lab = dns_lab(ZONE)
    settings.OUTBOX = settings.OUTBOX | {
        "DNS_SERVERS": (lab.address,),
        "TLS_REPORT_ORGANIZATION": "Example Ltd",
    }
    for name in ("x.test", "silent.test", "quiet.test"):
        count(name)
        count(name, worker=2)
    with CaptureQueriesContext(connection) as found:
        assert send_due("default", at(hours=3)) == 1
    asked = lab.asked("TXT")
    assert sorted({*asked}) == [
        "_smtp._tls.quiet.test", "_smtp._tls.silent.test", "_smtp._tls.x.test",
    ]  # fmt: skip
    read = [one["sql"] for one in found if one["sql"].startswith("SELECT")]
    assert sum('FROM "outbox_tlscount"' in sql for sql in read) == 2  # days
    assert send_due("default", at(hours=6)) == 0
    assert lab.asked("TXT") == asked


def test_old_counts_and_expired_policies_are_deleted() -> None:
    now = database_now()
    count("x.test", back=COUNTS_KEPT_FOR.days - 1)
    count("x.test", back=COUNTS_KEPT_FOR.days + 1)
    write("live.test", KnownPolicy("1", POLICY, now.timestamp()), "default")
    write("old.test", KnownPolicy("1", POLICY, (now - 2 * DAY).timestamp()), "default")
    forget_old("default")
    assert TlsCount.objects.count() == 1
    assert [one.domain for one in MtaStsPolicy.objects.all()] == ["live.test"]


def test_a_stored_policy_is_what_was_read() -> None:
    async def in_thread(work: Callable[[], Any]) -> Any:
        return await sync_to_async(work)()

    archive = StoredPolicies(in_thread, "default")

    async def stored(known: KnownPolicy) -> KnownPolicy | None:
        await archive.save("x.test", known)
        return await archive.load("x.test")

    assert async_to_sync(archive.load)("x.test") is None
    known = KnownPolicy("1", POLICY, 1_700_000_000.0)
    assert async_to_sync(stored)(known) == known
    newer = KnownPolicy("2", Policy(Mode.ENFORCE, ("mx.x.test",), 100), 1_700_000_500.0)
    assert async_to_sync(stored)(newer) == newer


def test_a_mode_of_a_newer_version_counts_as_none() -> None:
    write("x.test", KnownPolicy("1", POLICY, 1_700_000_000.0), "default")
    MtaStsPolicy.objects.update(mode="strict")
    assert read("x.test", "default") is None


@pytest.mark.parametrize(
    ("options", "headers", "stored"),
    [
        ({}, {}, ""),
        ({"require_tls": True}, {}, "required"),
        ({}, {"TLS-Required": "No"}, "optional"),
        ({}, {"TLS-Required": "Yes"}, ""),
        ({"require_tls": True}, {"TLS-Required": "No"}, "required"),
    ],
)
def test_a_message_has_its_own_requirement(
    shop: Account, options: dict[str, Any], headers: dict[str, str], stored: str
) -> None:
    api.send(to="a@x.test", subject="x", text="x", headers=headers, account=shop, **options)
    assert Message.objects.get().tls_requirement == stored


@contextmanager
def https_server(
    folder: Path,
    settings: LazySettings,
    *statuses: str,
    name: str = "reports.x.test",
    raw: bytes = b"",
) -> Iterator[tuple[int, list[bytes]]]:
    """Respond to each POST with the next status, or with raw bytes; yield port and requests."""
    authority = Authority(folder)
    context = authority.context(name)
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": str(authority.file)}
    received: list[bytes] = []
    left = list(statuses)

    def serve_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            response = raw or f"HTTP/1.1 {left.pop(0)}\r\nContent-Length: 0\r\n\r\n".encode()
            serve, found = reply(response)
            serve(secured)
            received.extend(found)

    with server(serve_tls) as port:
        yield port, received


def use_record(
    settings: LazySettings,
    dns_lab: StartDnsLab,
    port: int,
    *more: str,
    domains: Sequence[str] = ("x.test",),
) -> None:
    """Publish that reports go to the local server, and to other URIs."""
    uris = ",".join([f"https://reports.x.test:{port}/tls?a=b", *more])
    records = [f'record _smtp._tls.{one} TXT "v=TLSRPTv1; rua={uris}"' for one in domains]
    zone = "\n".join([*records, "record reports.x.test A 127.0.0.1"])
    settings.OUTBOX = settings.OUTBOX | {
        "DNS_SERVERS": (dns_lab(zone).address,),
        "TLS_REPORT_ORGANIZATION": "Example Ltd",
    }


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_a_report_is_posted_to_an_https_uri(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    """RFC 8460 3, 5.4."""
    count("x.test", times=3)
    with https_server(tmp_path, settings, "201 Created") as (port, received):
        use_record(settings, dns_lab, port)
        assert send_due("default", at(hours=3)) == 1
        assert send_due("default", at(hours=6)) == 0
    [post] = received
    head, _, body = post.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /tls?a=b HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/tlsrpt+gzip" in head
    found = json.loads(gzip.decompress(body))
    assert found["policies"][0]["summary"]["total-successful-session-count"] == 3
    assert not Message.objects.exists()


@pytest.mark.usefixtures("shop", "_loopback_is_public")
@pytest.mark.parametrize("status", ["503 Busy", "302 Found"])
def test_a_report_that_was_not_accepted_is_posted_again_and_mailed_once(
    settings: LazySettings,
    dns_lab: StartDnsLab,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    status: str,
) -> None:
    count("x.test")
    with https_server(tmp_path, settings, status, "200 OK") as (port, received):
        use_record(settings, dns_lab, port, "mailto:reports@x.test")
        assert send_due("default", at(hours=3)) == 0
        assert f"HTTP {status[:3]}" in caplog.text
        assert not TlsCount.objects.filter(is_reported=True).exists()
        assert send_due("default", at(hours=6)) == 1
        assert send_due("default", at(hours=9)) == 0
    assert len(received) == 2
    assert Message.objects.count() == 1


def post_alarms() -> list[str]:
    return [one.sentence for one in check().alarms if one.alarm.kind == AlarmKind.TLS_REPORTS]


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_reports_that_no_domain_accepts_have_an_alarm_until_one_does(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALARM_CLEAR_AFTER": 0}
    LastRun.record(REPORT_ACCEPTED, at(hours=1), "default")  # of the day before
    domains = ("x.test", "y.test", "z.test")
    for domain in domains:
        count(domain)
        count(domain, "certificate-expired")
    statuses = ["503 Busy"] * 3 + ["200 OK"] + ["503 Busy"] * 2
    with https_server(tmp_path, settings, *statuses) as (port, received):
        use_record(settings, dns_lab, port, domains=domains)
        send_due("default", at(hours=3))
        [sentence] = post_alarms()
        assert "did not accept: 3. The report to z.test:" in sentence
        assert f"https://reports.x.test:{port}/tls?a=b: HTTP 503" in sentence
        settings.OUTBOX = settings.OUTBOX | {"ALARM_TLS_REPORTS": 4}
        assert not post_alarms()
        settings.OUTBOX = settings.OUTBOX | {"ALARM_TLS_REPORTS": 2}
        assert post_alarms()
        assert send_due("default", at(hours=6)) == 1
        assert not post_alarms()  # the other two still fail
    assert len(received) == 6


@pytest.mark.parametrize(
    ("cause", "english", "chinese"),
    [
        ("refused", "No server is listening at this address and port.", "没有服务器在监听。"),
        ("unknown", "reports.x.test: the name does not resolve (", "无法解析该名称（"),
        ("certificate", "The server's certificate is not valid: ", "服务器的证书无效："),
        ("not http", "The server's response is not valid HTTP.", "不是有效的 HTTP。"),
        ("private", "Connections to this server are not allowed", "本网站不允许连接到此服务器。"),
        ("rejected", ": HTTP 503.", "：HTTP 503。"),
    ],
)
@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_the_cause_of_an_alarm_is_in_the_language_of_the_page(
    settings: LazySettings,
    dns_lab: StartDnsLab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cause: str,
    english: str,
    chinese: str,
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALARM_TLS_REPORTS": 1}
    count("x.test")
    name = "www.x.test" if cause == "certificate" else "reports.x.test"
    raw = b"no HTTP\r\n" if cause == "not http" else b""
    with https_server(tmp_path, settings, "503 Busy", name=name, raw=raw) as (port, _):
        use_record(settings, dns_lab, 1 if cause == "refused" else port)
        if cause == "unknown":
            record = (
                f'record _smtp._tls.x.test TXT "v=TLSRPTv1; rua=https://reports.x.test:{port}/"'
            )
            zone = f"{record}\nat a: servfail\nat aaaa: servfail"
            settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": (dns_lab(zone).address,)}
        if cause == "private":
            defaults: Any = post_report.__kwdefaults__
            monkeypatch.setitem(defaults, "is_allowed", is_public)
        send_due("default", at(hours=3))
    [sentence] = post_alarms()
    assert english in sentence
    assert not sentence.endswith("..")
    with translation.override("zh-hans"):
        [sentence] = post_alarms()
    assert chinese in sentence


def test_the_cause_that_a_former_version_stored_is_shown_as_it_is(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALARM_TLS_REPORTS": 1}
    count("x.test")
    TlsCount.objects.update(post_failure="https://x.test/?a_b: OSError: [Errno 5] no {}")
    [sentence] = post_alarms()
    assert sentence.endswith("The report to x.test: https://x.test/?a_b: OSError: [Errno 5] no {}")


@pytest.mark.parametrize("character", ["a", '"', "\\", "\x7f"])
def test_a_long_cause_is_shortened_and_can_be_read(character: str) -> None:
    uri = "https://reports.x.test:1/" + character * 1_900
    why = Reason(ReasonCode.UNREACHABLE, cause=character * 200)
    stored = _stored(Reason(ReasonCode.TLS_REPORT_FAILED, uri=uri, why=why))
    assert len(stored) <= POST_FAILURE_MAX
    assert "https://reports.x.test:1/" in str(Reason.load(stored))
    assert "The server cannot be reached" in str(Reason.load(stored))


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_few_domains_that_never_accept_their_reports_have_no_alarm(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    """Their reports of two days are as many as the limit of domains."""
    count("x.test", back=2)
    count("x.test")
    count("y.test")
    with https_server(tmp_path, settings, *["503 Busy"] * 3) as (port, received):
        use_record(settings, dns_lab, port, domains=("x.test", "y.test"))
        send_due("default", at(hours=-20))
        send_due("default", at(hours=3))
    assert len(received) == 3
    assert TlsCount.objects.exclude(post_failure="").count() == 3
    assert not post_alarms()


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_a_report_that_was_never_accepted_has_an_alarm_for_its_days(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALARM_CLEAR_AFTER": 0, "ALARM_TLS_REPORTS": 1}
    count("x.test")
    with https_server(tmp_path, settings, "503 Busy") as (port, _):
        use_record(settings, dns_lab, port)
        send_due("default", at(hours=25))
        send_due("default", at(hours=26))
    assert TlsCount.objects.filter(is_reported=True).exists()
    assert post_alarms()
    TlsCount.objects.update(day=day_of(database_now("default")) - 3 * DAY)
    assert not post_alarms()


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_no_report_goes_to_a_server_with_the_certificate_of_another_host(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    count("x.test")
    with https_server(tmp_path, settings, "200 OK", name="www.x.test") as (port, received):
        use_record(settings, dns_lab, port)
        assert send_due("default", at(hours=3)) == 0
    assert not received
    assert not TlsCount.objects.filter(is_reported=True).exists()


@pytest.mark.usefixtures("shop")
def test_no_report_goes_to_a_private_address(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    """The setting is for the site's own accounts. Here, a stranger chose the host."""
    count("x.test")
    with https_server(tmp_path, settings, "200 OK") as (port, received):
        use_record(settings, dns_lab, port)
        settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": True}
        assert send_due("default", at(hours=3)) == 0
    assert not received
    assert not TlsCount.objects.filter(is_reported=True).exists()


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_posts_end_a_day_after_the_first_one_was_due(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    """RFC 8460 5.5."""
    count("x.test")
    with https_server(tmp_path, settings, "503 Busy", "200 OK") as (port, received):
        use_record(settings, dns_lab, port)
        assert send_due("default", at(hours=25)) == 0
        assert not TlsCount.objects.filter(is_reported=True).exists()
        assert send_due("default", at(hours=26)) == 0
    assert len(received) == 1
    assert TlsCount.objects.filter(is_reported=True).exists()  # the DNS is not asked again


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_a_report_whose_email_cannot_be_queued_is_not_posted(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path
) -> None:
    """Each pass would post it again."""
    count("x.test")
    with https_server(tmp_path, settings, "200 OK") as (port, received):
        use_record(settings, dns_lab, port, "mailto:a@x.test", "mailto:b@x.test")
        settings.OUTBOX = settings.OUTBOX | {"MAX_RECIPIENTS": 1}
        assert send_due("default", at(hours=3)) == 0
    assert not received
    assert not TlsCount.objects.filter(is_reported=True).exists()


@pytest.mark.usefixtures("_loopback_is_public")
def test_a_report_that_another_process_sent_is_not_posted(
    settings: LazySettings, dns_lab: StartDnsLab, tmp_path: Path, shop: Account
) -> None:
    count("x.test")
    TlsCount.objects.update(is_reported=True)  # after this pass had read the counts
    day, counted = at(hours=-24), [("sts", "", "mx.x.test", 1)]
    with https_server(tmp_path, settings, "200 OK") as (port, received):
        use_record(settings, dns_lab, port)
        _send("x.test", day, counted, shop, "default", at(hours=3))
    assert not received


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_a_pass_ends_in_time_and_the_next_one_begins_with_other_domains(
    settings: LazySettings, dns_lab: StartDnsLab
) -> None:
    lab = dns_lab("""
        record _smtp._tls.a.test TXT "v=TLSRPTv1; rua=https://missing.test/"
        record _smtp._tls.b.test TXT "v=TLSRPTv1; rua=mailto:reports@b.test"
    """)
    settings.OUTBOX = settings.OUTBOX | {
        "DNS_SERVERS": (lab.address,),
        "TLS_REPORT_ORGANIZATION": "Example Ltd",
    }
    count("a.test")
    assert send_due("default", at(hours=3), seconds=0) == 0
    assert lab.asked("TXT") == []
    assert send_due("default", at(hours=3)) == 0
    count("b.test")
    assert send_due("default", at(hours=6)) == 1
    asked = list(dict.fromkeys(lab.asked("TXT")[1:]))
    assert asked == ["_smtp._tls.b.test", "_smtp._tls.a.test"]


def test_a_uri_that_does_not_respond_leaves_time_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[float] = []

    def noting(*args: Any, seconds: float, **options: Any) -> Response:
        limits.append(seconds)
        return request(*args, seconds=seconds, **options)

    monkeypatch.setattr("outbox.api.tls_report_post.request", noting)
    uris = [f"https://127.0.0.1/{number}" for number in range(3)]  # not public: it fails at once
    assert post_report(REPORT, uris, seconds=12_000.0).result is PostResult.FAILED
    assert limits == [pytest.approx(one, rel=0.05) for one in (4_000, 6_000, 12_000)]


@pytest.mark.usefixtures("_loopback_is_public")
def test_a_response_that_is_not_http_is_not_in_the_log(
    settings: LazySettings, tmp_path: Path, dns_lab: StartDnsLab, caplog: pytest.LogCaptureFixture
) -> None:
    raw = b"\x1b[2J" + b"x" * 9_000 + b"\r\n\r\n"
    with https_server(tmp_path, settings, raw=raw) as (port, received):
        use_record(settings, dns_lab, port)
        uri = f"https://reports.x.test:{port}/"
        assert post_report(REPORT, [uri]).result is PostResult.FAILED
    assert len(received) == 1
    [line] = [one for one in caplog.messages if "not accepted" in one]
    assert line.endswith(f"at {uri}: BadStatusLine")


@pytest.mark.parametrize("family", ["a", "aaaa"])
@pytest.mark.usefixtures("_loopback_is_public")
def test_one_family_of_addresses_suffices(
    settings: LazySettings, tmp_path: Path, dns_lab: StartDnsLab, family: str
) -> None:
    with https_server(tmp_path, settings, "200 OK") as (port, received):
        lab = dns_lab(f"record reports.x.test A 127.0.0.1\nat {family}: servfail")
        settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": (lab.address,)}
        result = post_report(REPORT, [f"https://reports.x.test:{port}/"]).result
    is_reached = family == "aaaa"
    assert result is (PostResult.ACCEPTED if is_reached else PostResult.FAILED)
    assert len(received) == is_reached


@pytest.mark.usefixtures("_loopback_is_public")
def test_a_host_may_be_an_address(
    settings: LazySettings, tmp_path: Path, dns_lab: StartDnsLab, caplog: pytest.LogCaptureFixture
) -> None:
    with https_server(tmp_path, settings, "200 OK") as (port, _received):
        lab = dns_lab(ZONE)
        settings.OUTBOX = settings.OUTBOX | {"DNS_SERVERS": (lab.address,)}
        post_report(REPORT, [f"https://127.0.0.1:{port}/"])
    assert lab.asked("A") == []
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text  # it was connected to


def test_a_report_that_is_too_large_is_not_posted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("outbox.api.tls_report_post._BODY_MAX", 10)
    assert post_report(REPORT, []).result is PostResult.TOO_LARGE
    assert "too large" in caplog.text


@pytest.mark.usefixtures("shop", "_loopback_is_public")
def test_a_report_that_is_too_large_has_no_alarm(
    settings: LazySettings, dns_lab: StartDnsLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server rejected it, and it is not repeated."""
    settings.OUTBOX = settings.OUTBOX | {"ALARM_TLS_REPORTS": 1}
    monkeypatch.setattr("outbox.api.tls_report_post._BODY_MAX", 10)
    use_record(settings, dns_lab, 1)
    count("x.test")
    send_due("default", at(hours=3))
    assert TlsCount.objects.filter(is_reported=True, post_failure="").exists()
    assert not post_alarms()
