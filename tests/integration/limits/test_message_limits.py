"""Messages, drafts and templates beyond their limits, through page, API, backend and import."""

import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.mail import EmailMessage
from django.test import Client

from outbox import api
from outbox.backend import outgoing
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import estimate_entries
from outbox.models import Account, Draft, DraftKind, Message, Template
from tests.integration.web.conftest import account, anna, as_anna, ben, typed

__all__ = ["account", "anna", "as_anna", "ben"]

MANY = [f"a{number}@example.org" for number in range(1_001)]
BOUND = 5.0  # seconds of CPU; without limits these inputs took from 10 to 150


@pytest.fixture(autouse=True)
def within_bound() -> Iterator[None]:
    """Each test takes little CPU time, so that no input is parsed before it is rejected."""
    began = time.process_time()
    yield
    assert time.process_time() - began < BOUND


def error_of(call: Callable[[], object]) -> InvalidMessageError:
    with pytest.raises(InvalidMessageError) as raised:
        call()
    assert not Message.objects.exclude(status="draft").exists()
    return raised.value


# --- recipients -----------------------------------------------------------------------------------

RECIPIENTS = "The message has 1,001 recipients. The limit is 1,000."


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
@pytest.mark.parametrize("given", [MANY, ", ".join(MANY)], ids=["list", "text"])
def test_recipients_through_the_api(account: Account, field: str, given: object) -> None:
    error = error_of(lambda: api.send(account=account, subject="Hi", text="Hi", **{field: given}))  # type: ignore[arg-type]
    assert (error.field, str(error)) == (field, RECIPIENTS)


@pytest.mark.django_db
def test_to_cc_and_bcc_count_together(account: Account) -> None:
    error = error_of(
        lambda: api.send(
            account=account, to=MANY[:500], cc=MANY[500:800], bcc=MANY[800:], text="Hi"
        )
    )
    assert str(error) == RECIPIENTS


@pytest.mark.django_db
def test_a_list_without_an_end_is_not_read_to_its_end(account: Account) -> None:
    error = error_of(lambda: api.send(account=account, to=repeat("a@example.org"), text="Hi"))
    assert str(error) == RECIPIENTS


@pytest.mark.django_db
def test_recipients_of_a_row(account: Account) -> None:
    result = api.send_many(
        [api.MergeRow(MANY), api.MergeRow("a@example.org")], account=account, text="Hi"
    )
    assert [str(one.error) for one in result.refused] == [RECIPIENTS]
    assert result.queued == 1


@pytest.mark.django_db
def test_recipients_of_a_rendered_message(account: Account) -> None:
    item = api.Outgoing(
        source=b"From: a@example.org\r\n\r\nHi\r\n",
        envelope_sender="a@example.org",
        recipients=[api.OutgoingRecipient(one) for one in MANY],
        account=account,
    )
    assert str(error_of(lambda: api.queue_ids([item]))) == RECIPIENTS


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_recipients_through_the_backend_and_the_import(account: Account, field: str) -> None:
    given: dict[str, Any] = {field: MANY}
    message = EmailMessage("Hi", "Hi", "a@example.org", **given)
    assert str(error_of(lambda: outgoing(message, account))) == RECIPIENTS


def test_recipients_in_the_composer(as_anna: Client, account: Account) -> None:
    fields = typed(account, to=", ".join(MANY), form="mark", send="1")
    response = as_anna.post("/compose/", fields)
    assert response.status_code == 422
    assert RECIPIENTS in response.content.decode()
    saved = as_anna.post("/compose/save/", typed(account, to=", ".join(MANY), form="other"))
    assert saved.json()["invalid"] == {"to": {"entries": [], "problem": RECIPIENTS}}
    assert not Message.objects.exclude(status="draft").exists()


# --- texts ----------------------------------------------------------------------------------------

HOSTILE = ["<", "a@", ",", '"', "(", "=?", "ﷺ", "A,", "A\t", ":;", "\n> ", "(("]
PAGE_FIELDS = {
    "to": ("To", 100_000),
    "cc": ("Cc", 100_000),
    "bcc": ("Bcc", 100_000),
    "reply_to": ("Reply to", 100_000),
    "subject": ("Subject", 10_000),
    "text": ("Text", 1_000_000),
}


@pytest.mark.parametrize("field", PAGE_FIELDS)
@pytest.mark.parametrize("url", ["/compose/", "/compose/save/"])
def test_a_long_field_of_the_composer_is_not_saved(
    as_anna: Client, account: Account, field: str, url: str
) -> None:
    label, limit = PAGE_FIELDS[field]
    response = as_anna.post(url, typed(account, form="m", **{field: "x" * (limit + 1)}))
    said = f"{label} has {limit + 1:,} characters. The limit is {limit:,}."
    assert response.status_code == 422
    assert said in response.content.decode()
    assert not Draft.objects.exists()


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_up_to_the_limit(as_anna: Client, account: Account, piece: str) -> None:
    hostile = (piece * 100_000)[:100_000]
    response = as_anna.post("/compose/save/", typed(account, to=hostile, form="m"))
    assert response.status_code == 200


@pytest.mark.parametrize("field", ["to", "subject", "text", "html"])
def test_a_long_field_of_a_draft(anna: User, field: str) -> None:
    given: dict[str, Any] = {field: "x" * 1_000_001}
    fields = api.DraftFields(**given)
    error = error_of(lambda: api.save_draft(anna, fields))
    assert error.field == field
    assert "has 1,000,001 characters. The limit is 1" in str(error)


@pytest.mark.django_db
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_long_address_field_of_the_api(account: Account, piece: str) -> None:
    for given in (piece * 200_000, [piece * 10_000] * 100):
        error = error_of(lambda given=given: api.send(account=account, to=given, text="Hi"))  # type: ignore[misc]
        assert error.field == "to"


@pytest.mark.django_db
def test_long_texts_of_the_backend(account: Account) -> None:
    long = "x" * 200_000
    error = error_of(lambda: outgoing(EmailMessage("Hi", "Hi", to=[long]), account))
    assert str(error) == "to has 200,000 characters. The limit is 100,000."
    error = error_of(lambda: outgoing(EmailMessage(long, "Hi", to=["a@example.org"]), account))
    assert str(error) == "subject has 200,000 characters. The limit is 10,000."
    error = error_of(
        lambda: outgoing(EmailMessage("Hi", long * 200, to=["a@example.org"]), account)
    )
    assert str(error) == "The message would be 40 MB. The limit is 25 MB."


@pytest.mark.django_db
def test_options_of_an_app(account: Account) -> None:
    def send(**options: object) -> Callable[[], object]:
        return lambda: api.send(account=account, to="a@example.org", text="Hi", **options)  # type: ignore[arg-type]

    headers = {f"X-{number}": "1" for number in range(101)}
    error = error_of(send(headers=headers))
    assert str(error) == "The message has 101 header fields. The limit is 100."
    assert error_of(send(headers={"X-A": "x" * 100_001})).field == "X-A"
    assert error_of(send(metadata={"a": "x" * 100_001})).field == "metadata"
    assert error_of(send(tags=["x" * 100] * 1_001)).field == "tags"


# --- attachments ----------------------------------------------------------------------------------

ATTACHMENTS = "The message has 201 attachments. The limit is 200."


@pytest.mark.django_db
def test_attachments_of_apps(account: Account) -> None:
    files = [("a.txt", b"1")] * 201
    error = error_of(lambda: api.send(account=account, to="a@e.org", text="Hi", attachments=files))
    assert str(error) == ATTACHMENTS
    message = EmailMessage("Hi", "Hi", "a@example.org", ["b@example.org"])
    for name, content in files:
        message.attach(name, content)
    assert str(error_of(lambda: outgoing(message, account))) == ATTACHMENTS


def test_attachments_of_a_draft(as_anna: Client, anna: User, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_ATTACHMENTS": 2}
    draft = api.save_draft(anna, api.DraftFields(subject="Files"))
    for _ in range(2):
        api.attach(draft, "a.txt", "text/plain", b"1")
    said = "The message has 3 attachments. The limit is 2."
    assert str(error_of(lambda: api.attach(draft, "a.txt", "text/plain", b"1"))) == said
    upload = SimpleUploadedFile("b.txt", b"1")
    response = as_anna.post(f"/compose/{draft.pk}/attachments/", {"attachments": upload})
    assert response.json() == {"problem": said}


@pytest.mark.django_db
def test_files_are_not_read_beyond_the_size_of_a_message(account: Account, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.bin" for number in range(4)]
    for number, path in enumerate(files):
        with path.open("wb") as opened:
            opened.truncate(10_000_000 if number < 3 else 10**12)  # takes no room on the disk
    error = error_of(
        lambda: api.send(account=account, to="a@example.org", text="Hi", attachments=files)
    )
    assert str(error) == "The message would be 30 MB. The limit is 25 MB."


# --- replies --------------------------------------------------------------------------------------


def test_a_reply_to_many_attachments_parses_the_source_once(
    anna: User, account: Account, as_anna: Client, settings: LazySettings
) -> None:
    """Parsing the source for each of 1,000 attachments took 113 seconds."""
    settings.OUTBOX = settings.OUTBOX | {"MAX_ATTACHMENTS": 1_000}
    files = [
        api.AttachmentPart(name=f"{n}.txt", content_type="text/plain", data=b"1")
        for n in range(990)
    ]
    handle = api.send(account=account, to="a@example.org", text="Hi", attachments=files, owner=anna)
    message = Message.objects.get(pk=handle.pk)
    began = time.process_time()
    assert len(api.prepare_reply(message, DraftKind.FORWARD, actor=anna).files) == 990
    settings.OUTBOX = settings.OUTBOX | {"MAX_ATTACHMENTS": 200}
    response = as_anna.post(f"/messages/{message.pk}/reply/", {"as": "forward"}, follow=True)
    assert time.process_time() - began < BOUND
    assert "The message has 990 attachments. The limit is 200." in response.content.decode()


# --- templates ------------------------------------------------------------------------------------

UNCLOSED = "Close each placeholder on the line where it starts."


@pytest.mark.parametrize("part", ["subject", "text", "html"])
@pytest.mark.parametrize("piece", ["{{", "{{ a", "{%", "{#", "{", "a\n{{ {{ "])
def test_placeholders_that_are_not_closed(
    as_anna: Client, anna: User, part: str, piece: str
) -> None:
    """Django's own search for tags took 124 seconds for 200 kB of these."""
    hostile = (piece * 200_000)[:199_990] + "{{" * 4
    if piece == "a\n{{ {{ ":
        hostile = "{{ " * 200 + hostile[:100_000]
    as_anna.post("/templates/preview/", {part: hostile})
    response = as_anna.post("/templates/add/", {"name": "A", part: hostile})
    assert response.status_code == 422
    assert UNCLOSED in response.content.decode()
    template = Template(owner=anna, name="A", **{part: hostile})
    assert UNCLOSED in str(error_of(lambda: api.compile_template(template)))


@pytest.mark.django_db
def test_unclosed_placeholders_of_apps(account: Account) -> None:
    hostile = "{{ a" * 50_000
    error = error_of(
        lambda: api.send(account=account, to="a@example.org", text=hostile, context={"a": "b"})
    )
    assert (error.field, str(error)) == ("text", f"In text: {UNCLOSED}")


@pytest.mark.django_db
def test_minified_css_is_accepted_in_a_template_of_an_app() -> None:
    html = "<style>@media print{#a{color:red}}</style>" * 20 + "<p>{{ name }}</p>"
    assert "color:red" in api.compile_template(Template(html=html)).fill({"name": "Ann"}).html


def test_long_templates(as_anna: Client, anna: User) -> None:
    said = "It has 200,001 characters. The limit is 200,000."
    for part in ("subject", "text", "html"):
        response = as_anna.post("/templates/add/", {"name": "A", part: "x" * 200_001})
        assert said in response.content.decode()
        template = Template(owner=anna, name="A", **{part: "x" * 200_001})
        assert said in str(error_of(lambda template=template: api.compile_template(template)))  # type: ignore[misc]


def test_a_template_does_not_multiply_a_long_value(as_anna: Client, anna: User) -> None:
    template = Template.objects.create(owner=anna, name="A", text="{{a}}" * 40_000)
    values = {"template": str(template.pk), "value-a": "x" * 100_000}
    response = as_anna.post("/compose/template/", values)
    assert "more than 1,000,000 characters" in response.content.decode()


def test_a_template_with_many_placeholders(as_anna: Client) -> None:
    text = " ".join(f"{{{{ a{number} }}}}" for number in range(201))
    response = as_anna.post("/templates/add/", {"name": "A", "text": text})
    assert "It has 201 placeholders. The limit is 200." in response.content.decode()


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_rows_of_one_call(account: Account, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_ROWS": 3}
    rows = [api.MergeRow("a@example.org")] * 4
    said = "The call has 4 rows. The limit is 3."
    assert str(error_of(lambda: api.send_many(rows, account=account, text="Hi"))) == said
    error = error_of(lambda: api.send_many(repeat(rows[0]), account=account, text="Hi"))
    assert error.field == "rows"


# --- marks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        '"Doe, John (Sales; North)" <john.doe@example.org>',
        "张三 <zhang@example.cn>",
        "mailto:a@example.org",
        "a@[IPv6:2001:db8:1:2:3:4:5:6]",
        "Dr. Maria Anna van der Berg (at home) <maria@example.org>",
    ],
)
def test_no_recipient_is_counted_twice(entry: str) -> None:
    assert estimate_entries(", ".join([entry] * 100)) <= 100
