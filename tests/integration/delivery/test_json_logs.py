"""Lines in JSON name message, attempt and account, and contain no secret and no body."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection

from outbox.log_lines import JsonFormatter, LineFormatter
from outbox.models import Attempt, Message
from outbox.testing.faultlab import FaultLab
from tests.integration.delivery.mail_client import account, account_at, deliver, queue, refusing

pytestmark = pytest.mark.django_db(transaction=True)
WORD, BODY = "swordfish-55", "body-4411"
SOURCE = (
    b"Message-ID: <1@example.org>\r\nFrom: alice@example.org\r\nSubject: subject-77\r\n\r\n"
    b"body-4411\r\n"
)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, as JSON, at every level of the outbox."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    loggers = [logging.getLogger(name) for name in ("outbox", "outbox.attempts")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    for one, level in zip(loggers, before, strict=True):
        one.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def send(lab: FaultLab) -> Message:
    sender = account_at(lab, username="ann")
    sender.secret = WORD
    sender.save()
    message = queue(sender, source=SOURCE)
    deliver()
    return message


def test_each_attempt_has_a_line_with_its_ids(fault_lab: Any, logged: io.StringIO) -> None:
    message = send(fault_lab())
    attempt = Attempt.objects.get()
    [line] = [one for one in lines(logged) if one["logger"] == "outbox.attempts"]

    assert (line["message_id"], line["attempt_id"]) == (message.pk, attempt.pk)
    assert line["outcome"] == attempt.outcome
    assert line["level"] == "INFO"


def test_a_line_during_a_delivery_names_message_and_account(logged: io.StringIO) -> None:
    from outbox.log_lines import log_fields

    with log_fields(message_id=1, account_id=2), log_fields(attempt_id=3):
        logging.getLogger("outbox.delivery").warning("Broken: %s", "a\nb")
    logging.getLogger("outbox.delivery").warning("Later.")
    inside, outside = lines(logged)

    assert (inside["message_id"], inside["account_id"], inside["attempt_id"]) == (1, 2, 3)
    assert inside["message"] == "Broken: a\nb"
    assert "message_id" not in outside


def test_a_result_that_the_database_rejects_is_logged_without_body_and_password(
    fault_lab: Any, logged: io.StringIO
) -> None:
    with refusing("outbox_attempt", "NEW.outcome <> ''"):
        send(fault_lab())

    text = logged.getvalue()
    assert "this row is refused" in text
    assert WORD not in text
    assert BODY not in text
    assert "subject-77" not in text


@pytest.mark.parametrize("formatter", [JsonFormatter(), LineFormatter()])
def test_the_values_of_a_rejected_row_are_removed(formatter: logging.Formatter) -> None:
    """PostgreSQL repeats the row in the error."""
    message = queue(account())
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE outbox_message SET subject = %s, owner_id = NULL, account_id = NULL, "
                "created_at = NULL WHERE id = %s",
                [BODY, message.pk],
            )
    except IntegrityError as error:
        record = logging.LogRecord("outbox", logging.ERROR, "", 0, "%s", (str(error),), None)
        record.exc_info = (type(error), error, error.__traceback__)
    text = formatter.format(record)

    assert "IntegrityError" in text
    assert BODY not in text
