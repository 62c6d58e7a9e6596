"""The Message-ID that Outlook.com, Microsoft 365 and Amazon SES give a message."""

import pytest

from outbox.mail.wire_ids import queue_id_of, wire_message_id
from outbox.smtp.queue_id import find_queue_id

OUTLOOK = "AM0PR01MB4567ABCDEF0123456789@AM0PR01MB4567.eurprd01.prod.outlook.com"
SES = "010201912a3b4c5d-0a1b2c3d-1111-2222-3333-444455556666-000000"


@pytest.mark.parametrize("host", ["smtp.office365.com", "smtp-mail.outlook.com"])
def test_microsoft_names_the_whole_id(host: str) -> None:
    reply = f"2.0.0 OK <{OUTLOOK}> [Hostname=AM0PR01MB4567.eurprd01.prod.outlook.com]"
    assert wire_message_id(host, find_queue_id(reply)) == OUTLOOK
    assert queue_id_of(OUTLOOK) == OUTLOOK


def test_the_chinese_cloud_of_microsoft_has_its_own_domain() -> None:
    given = "ZQ2PR01MB1307AB@ZQ2PR01MB1307.CHNPR01.prod.partner.outlook.cn"
    found = find_queue_id(f"2.0.0 OK <{given}> [Hostname=ZQ2PR01MB1307.CHNPR01]")
    assert wire_message_id("smtp.partner.outlook.cn", found) == given
    assert queue_id_of(given) == given


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("email-smtp.eu-west-1.amazonaws.com", "eu-west-1.amazonses.com"),
        ("email-smtp.us-east-1.amazonaws.com", "email.amazonses.com"),
        ("email-smtp-fips.us-west-2.amazonaws.com", "us-west-2.amazonses.com"),
    ],
)
def test_ses_names_the_part_before_the_domain_of_its_region(host: str, domain: str) -> None:
    found = wire_message_id(host, find_queue_id(f"Ok {SES}"))
    assert found == f"{SES}@{domain}"
    assert queue_id_of(found) == SES


@pytest.mark.parametrize(
    ("host", "queue_id"),
    [
        ("smtp.gmail.com", "a640c23a62f3a-b76f5-20020a17090-sm1234567"),
        ("mail.example.com", "4XyZ12abcd"),
        ("mail.example.com", "someone@example.com"),
        ("email-smtp.eu-west-1.amazonaws.com", ""),
        ("email-smtp.eu-west-1.amazonaws.com.evil.example", SES),
    ],
)
def test_other_servers_keep_it(host: str, queue_id: str) -> None:
    assert wire_message_id(host, queue_id) == ""


@pytest.mark.parametrize("message_id", ["", "abc@example.com", "x@prod.outlook.com.example"])
def test_other_ids_have_none(message_id: str) -> None:
    assert queue_id_of(message_id) == ""
