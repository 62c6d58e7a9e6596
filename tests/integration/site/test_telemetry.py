"""Sentry and OpenTelemetry get what is needed to find an error, and neither bodies nor secrets.

Each runs in a process of its own, since their packages change Django and Celery.
"""

import json
import subprocess
import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from mailsite import telemetry
from tests.unit.docs.blocks import ROOT

MARKS = (
    "body-4411",
    "word-5522",
    "query-6633",
    "cookie-7744",
    "local-8855",
    "token-9966",
    "row-1177",
)

SITE = """
import json, logging, os, sys
import django
django.setup()
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path

def broken(request, token):
    text = "local-8855"
    logging.getLogger("outbox.test").warning("Read %s", "body-4411", extra={"message_id": 17})
    raise ValueError("Something failed\\nDETAIL:  Failing row contains (1, row-1177).")

def handler500(request):
    return HttpResponse(status=500)

urlpatterns = [path("reset/<str:token>/", broken)]
client = Client(raise_request_exception=False, SERVER_NAME="localhost")
client.cookies["preference"] = "cookie-7744"

def request():
    with override_settings(ROOT_URLCONF="__main__"):
        return client.post(
            "/reset/token-9966/?q=query-6633",
            {"password": "word-5522", "text": "body-4411"},
            headers={"authorization": "Bearer word-5522"},
        )
"""

SENTRY = """
from sentry_sdk.transport import Transport
from mailsite.telemetry import start_sentry
import sentry_sdk

class Memory(Transport):
    found = []
    def capture_envelope(self, envelope):
        self.found += [item.payload.json for item in envelope.items if item.payload.json]

start_sentry("https://key@sentry.example.com/1", transport=Memory({}))
assert request().status_code == 500
logging.getLogger("outbox.test").error(
    "Attempt %d failed: %s", 5, "body-4411", extra={"attempt_id": 5, "text": "body-4411"}
)
sentry_sdk.flush()
print(json.dumps(Memory.found))
"""

OTEL = """
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from mailsite.telemetry import start_opentelemetry

exporter = InMemorySpanExporter()
start_opentelemetry(exporter)
client.handler.load_middleware()
assert request().status_code == 500
trace.get_tracer_provider().force_flush()
print(json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()]))
"""


def run(script: str) -> list[dict[str, Any]]:
    """Run a script in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", SITE + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=None,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.every_database
def test_sentry_gets_errors_with_ids_and_without_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "mailsite.settings")
    events = run(SENTRY)
    text = json.dumps(events)

    assert [mark for mark in MARKS if mark in text] == []
    error = next(one for one in events if "exception" in one)
    line = next(one for one in events if "logentry" in one and "exception" not in one)
    assert error["exception"]["values"][0]["type"] == "ValueError"
    assert "Something failed" in error["exception"]["values"][0]["value"]
    assert line["logentry"]["message"] == "Attempt %d failed: %s"
    assert line["extra"] == {"attempt_id": 5}


@pytest.mark.system
@pytest.mark.every_database
def test_traces_name_the_pattern_of_the_page_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "mailsite.settings")
    spans = run(OTEL)
    text = json.dumps(spans)

    assert [mark for mark in MARKS if mark in text] == []
    [span] = spans
    assert "reset/<str:token>/" in span["name"]
    assert span["resource"]["attributes"]["service.name"] == "outbox"
    assert span["status"]["status_code"] == "ERROR"
    assert span["events"][0]["attributes"]["exception.type"] == "ValueError"


@pytest.mark.parametrize(
    ("package", "start", "message"),
    [
        (
            "sentry_sdk",
            lambda: telemetry.start_sentry("https://key@sentry.example.com/1"),
            "SENTRY_DSN is set, but needs packages: install sentry-sdk",
        ),
        (
            "opentelemetry.sdk.trace",
            telemetry.start_opentelemetry,
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but needs packages: install opentelemetry-sdk",
        ),
    ],
)
def test_a_missing_package_is_named(
    package: str, start: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImproperlyConfigured, match=message):
        start()
