"""Reports on TLS: what they contain, and where they go (RFC 8460)."""

import datetime as dt
import gzip
import json

import pytest

from outbox.mail.tls_report import TlsReport, address_of, destinations, grouped

ROWS = [
    ("sts", "", "mx.x.test", 3),
    ("sts", "", "mx2.x.test", 2),
    ("sts", "certificate-expired", "mx.x.test", 1),
    ("no-policy-found", "starttls-not-supported", "old.x.test", 4),
]
FIELDS = {"sts": {"policy_string": ("version: STSv1", "mode: testing"), "mx": ("*.x.test",)}}
REPORT = TlsReport(
    domain="x.test",
    day=dt.date(2026, 11, 29),
    organization="Example Ltd",
    contact="postmaster@example.org",
    submitter="example.org",
    policies=grouped(ROWS, FIELDS),
)


def test_a_report_has_the_sessions_of_each_policy() -> None:
    assert json.loads(gzip.decompress(REPORT.compressed())) == {
        "organization-name": "Example Ltd",
        "date-range": {
            "start-datetime": "2026-11-29T00:00:00Z",
            "end-datetime": "2026-11-29T23:59:59Z",
        },
        "contact-info": "postmaster@example.org",
        "report-id": "2026-11-29_x.test@example.org",
        "policies": [
            {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "x.test"},
                "summary": {
                    "total-successful-session-count": 0,
                    "total-failure-session-count": 4,
                },
                "failure-details": [
                    {
                        "result-type": "starttls-not-supported",
                        "receiving-mx-hostname": "old.x.test",
                        "failed-session-count": 4,
                    }
                ],
            },
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: testing"],
                    "policy-domain": "x.test",
                    "mx-host": ["*.x.test"],
                },
                "summary": {
                    "total-successful-session-count": 5,
                    "total-failure-session-count": 1,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "receiving-mx-hostname": "mx.x.test",
                        "failed-session-count": 1,
                    }
                ],
            },
        ],
    }


def test_the_same_report_has_the_same_name_and_bytes() -> None:
    assert REPORT.filename == "example.org!x.test!1795910400!1795996799.json.gz"
    assert REPORT.compressed() == REPORT.compressed()


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["v=TLSRPTv1; rua=mailto:a@x.test"], ["mailto:a@x.test"]),
        (
            ["v=spf1 -all", "v=TLSRPTv1;rua=https://x.test/r,mailto:a@x.test"],
            ["https://x.test/r", "mailto:a@x.test"],
        ),
        (
            ["v=TLSRPTv1; rua=ftp://x.test, mailto:x, https://, mailto:b@x.test"],
            ["mailto:b@x.test"],
        ),
        (["v=TLSRPTv1; rua=mailto:a@x.test", "v=TLSRPTv1; rua=mailto:b@x.test"], []),
        (
            ["v=TLSRPTv1; rua=mailto:a@x.test,https://x.test/r,mailto:a@x.test"],
            ["mailto:a@x.test", "https://x.test/r"],
        ),
        (["v=TLSRPTv10; rua=mailto:a@x.test"], []),
        (["v=TLSRPTv1"], []),
        ([], []),
    ],
)
def test_a_record_names_where_reports_go(texts: list[str], found: list[str]) -> None:
    assert destinations(texts) == found


def test_a_mailto_uri_has_an_address() -> None:
    assert address_of("mailto:tls%2Breports@x.test?subject=x") == "tls+reports@x.test"
    assert address_of("https://x.test/r") is None
