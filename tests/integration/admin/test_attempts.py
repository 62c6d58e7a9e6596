"""Attempts in the admin: the masked transcript as text."""

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.db.models import Field
from django.test import Client

from outbox.models import Attempt, Message, Recipient, Worker
from outbox.reasons import Reason, ReasonCode

LIST = "/admin/outbox/attempt/"


def test_the_transcript_has_three_sections(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()

    shown = staff.get(f"{LIST}{attempt.pk}/change/").content.decode()

    for line in (
        "2 ms  ← 220 ready",
        "2 ms  → AUTH PLAIN ***",
        "12 ms  → RCPT TO:&lt;jane@example.com&gt;",
        "14 ms  ← 550 &lt;b&gt;no",
        "90 ms  → QUIT",
    ):
        assert line in shown


def test_the_session_is_shown(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()

    shown = staff.get(f"{LIST}{attempt.pk}/change/").content.decode()

    assert "192.0.2.1" in shown
    assert "TLSv1.3" in shown
    assert "SIZE 1000000" in shown


def test_the_time_spent_has_the_names_of_the_phases(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()
    attempt.phases_ms = json.dumps({"resolve": 7.0, "rcpt": 0.3, "dot": 10_051.0})
    attempt.save()
    address = f"{LIST}{attempt.pk}/change/"

    assert (
        "DNS lookup 7 ms, RCPT 0.3 ms, Final reply 10.05 s" in staff.get(address).content.decode()
    )
    chinese = staff.get(address, headers={"accept-language": "zh-hans"}).content.decode()
    assert "DNS 查询 7 ms" in chinese


def test_the_phase_of_a_fault_has_its_name(staff: Client, tried: Message) -> None:
    Attempt.objects.update(phase="tls")

    for page in (LIST, f"{LIST}{Attempt.objects.get().pk}/change/"):
        assert "TLS handshake" in staff.get(page).content.decode()


def test_the_command_of_a_recipient_has_its_name(staff: Client, tried: Message) -> None:
    failed = Recipient.objects.get(reply_command="RCPT")

    shown = staff.get(f"/admin/outbox/recipient/{failed.pk}/change/").content.decode()

    assert "RCPT TO" in shown


def test_the_level_of_tls_is_shown_with_its_reasons(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()
    assert attempt.session is not None
    attempt.session.tls_requested, attempt.session.tls_achieved = "dane", "dane"
    attempt.session.tls_policy = Reason(ReasonCode.TLS_BY_DANE, host="mx.example.com")
    attempt.session.save()

    shown = staff.get(f"{LIST}{attempt.pk}/change/").content.decode()

    confirmed = "TLS with a certificate that DANE confirms"
    assert f"{confirmed} (TLSA records of mx.example.com (DANE))" in shown
    assert "encrypted, certificate verified by DANE" in shown


def test_an_attempt_that_never_connected_has_a_page(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()
    attempt.session = None
    attempt.save()

    assert staff.get(f"{LIST}{attempt.pk}/change/").status_code == 200


def test_the_list_shows_message_and_server(onlooker: Client, tried: Message) -> None:
    shown = onlooker.get(LIST).content.decode()

    assert "Invoice" in shown
    assert "mail.example.com:587" in shown


def test_a_fault_filters_the_list(staff: Client, tried: Message) -> None:
    Attempt.objects.update(fault="timeout")

    def found(fault: str) -> int:
        response: Any = staff.get(LIST, {"fault": fault})
        return len(response.context["cl"].result_list)

    assert (found("timeout"), found("reset")) == (1, 0)


def test_no_filter_reads_a_table_for_its_values() -> None:
    """Django's filter of a text without choices reads each row of the table."""
    without_choices = [
        f"{model.__name__}.{name}"
        for model, its_admin in admin.site._registry.items()
        if model._meta.app_label == "outbox" and model is not Worker  # workers are few
        for name in its_admin.list_filter
        if isinstance(name, str) and _is_text(get_fields_from_path(model, name)[-1])
    ]
    assert without_choices == []


def _is_text(field: "Field[Any, Any]") -> bool:
    return field.get_internal_type() in {"CharField", "TextField"} and not field.choices
