"""An attempt's page: the masked dialogue, readable and harmless."""

from django.test import Client

from outbox.models import Attempt, Message

LIST = "/admin/outbox/attempt/"


def test_it_shows_the_dialogue_in_three_phases(staff: Client, tried: Message) -> None:
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


def test_it_shows_the_session(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()

    shown = staff.get(f"{LIST}{attempt.pk}/change/").content.decode()

    assert "192.0.2.1" in shown
    assert "TLSv1.3" in shown
    assert "SIZE 1000000" in shown


def test_an_attempt_that_never_connected_has_a_page(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()
    attempt.session = None
    attempt.save()

    assert staff.get(f"{LIST}{attempt.pk}/change/").status_code == 200


def test_its_list_names_message_and_server(onlooker: Client, tried: Message) -> None:
    shown = onlooker.get(LIST).content.decode()

    assert "Invoice" in shown
    assert "mail.example.com:587" in shown
