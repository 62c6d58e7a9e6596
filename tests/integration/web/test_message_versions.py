"""The tab Changes: from the composed to the sent version, and to an edited copy."""

from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.models import Account, Message
from outbox.web.messages.changes import Comparison, Versions
from outbox.web.messages.content import Content


def changes(parts: list[Comparison]) -> dict[str, list[tuple[str, str]]]:
    """Return the removed and added lines of each part."""
    return {
        str(part.title): [
            (str(row.kind), row.before + row.changed + row.after)
            for row in part.rows
            if row.kind in {"removed", "added"}
        ]
        for part in parts
    }


def of(mail: Message, other: int | None = None) -> Versions:
    return Versions(
        Content(Message.objects.get(pk=mail.pk), "changes"),
        other,
        visible=Message.objects.all(),
        is_readable=lambda _message: True,
    )


def page_of(client: Client, mail: Message, **query: Any) -> str:
    url = reverse("outbox:message", args=[mail.pk])
    return client.get(url, {"show": "changes", **query}).content.decode()


def test_only_headers_differ_between_composed_and_sent(anna: User, account: Account) -> None:
    fields = api.DraftFields(
        account=account,
        to="Jane <jane@example.com>",
        bcc="boss@example.com",
        subject="Grüße",
        text="Hällo\n\nJane",
        html="<p>Hällo</p><p>Jane</p>",
    )
    draft = api.save_draft(anna, fields)
    api.attach(draft, "a.csv", "text/csv", b"1;2")
    found = changes(of(api.send_draft(draft, actor=anna)).of_itself)
    headers = found.pop("Headers")
    assert found == {"Text": [], "HTML": [], "Attachments": []}
    assert [line for kind, line in headers if kind == "removed"] == ["Bcc: boss@example.com"]
    added = [line.partition(":")[0] for kind, line in headers if kind == "added"]
    assert {"Date", "Message-ID", "MIME-Version"} <= set(added)
    assert {"From", "To", "Subject"}.isdisjoint(added)


def test_the_page_marks_the_changes(as_anna: Client, mail: Message) -> None:
    page = page_of(as_anna, mail)
    assert "No changes." in page
    assert "<ins>Message-ID:" in page


def test_a_message_of_an_app_has_no_composed_version(
    as_anna: Client, anna: User, account: Account
) -> None:
    outgoing = api.Outgoing(
        source=b"From: shop@example.com\r\nSubject: Invoice\r\n\r\nPlease pay.\r\n",
        envelope_sender="shop@example.com",
        recipients=[api.OutgoingRecipient("jane@example.com")],
        account=account,
        owner=anna,
    )
    (mail,) = api.queue_sources([outgoing])
    assert "An app rendered the message." in page_of(as_anna, mail)


def test_an_edited_copy_is_compared(as_anna: Client, anna: User, mail: Message) -> None:
    copy = api.reply_to_message(mail, api.DraftKind.COPY, actor=anna)
    fields = api.DraftFields(
        account=mail.account, to="jane@example.com", subject="Figures", text="Hello Jane"
    )
    api.save_draft(anna, fields, draft=copy)
    found = changes(of(mail).of_both)
    assert found["Headers"] == [("removed", "To: joe@example.org")]
    assert found["Text"] == [("removed", "Hello"), ("added", "Hello Jane")]
    assert found["Attachments"] == []

    sent = api.send_draft(copy, actor=anna)
    assert changes(of(mail).of_both) == found
    assert of(sent).other_is_older
    assert changes(of(sent).of_both) == found
    assert "From the original message to this copy" in page_of(as_anna, sent)
    assert "Hello<mark> Jane</mark>" in page_of(as_anna, sent)


def test_a_reply_is_not_compared(anna: User, mail: Message) -> None:
    reply = api.reply_to_message(mail, api.DraftKind.REPLY, actor=anna)
    assert of(mail).other is None
    assert of(reply).other is None


def test_a_forward_is_not_compared(anna: User, mail: Message) -> None:
    forward = api.reply_to_message(mail, api.DraftKind.FORWARD, actor=anna)
    assert of(mail).other is None
    assert of(forward).other is None


def test_the_user_chooses_one_of_several_copies(as_anna: Client, anna: User, mail: Message) -> None:
    first, last = (api.reply_to_message(mail, api.DraftKind.COPY, actor=anna) for _ in range(2))
    assert of(mail).other == last
    assert of(mail, first.pk).other == first
    assert f"with={first.pk}" in page_of(as_anna, mail)
    assert f"with={last.pk}" in page_of(as_anna, mail, **{"with": first.pk})


def test_a_message_of_another_user_is_never_shown(
    as_anna: Client, anna: User, ben: User, mail: Message, draft: Message
) -> None:
    copy = api.reply_to_message(mail, api.DraftKind.COPY, actor=anna)
    Message.objects.filter(pk=copy.pk).update(owner=ben, subject="secret")
    assert of(mail, copy.pk).other is None
    assert "secret" not in page_of(as_anna, mail, **{"with": copy.pk})
    Message.objects.filter(pk=mail.pk).update(made_from=copy)
    assert of(mail, copy.pk).other is None
    assert of(mail, draft.pk).other is None


def test_markup_is_shown_as_text(as_anna: Client, anna: User, mail: Message) -> None:
    copy = api.reply_to_message(mail, api.DraftKind.COPY, actor=anna)
    fields = api.DraftFields(
        to='"<script>x</script>" <a@example.com>, <b>',
        subject="<i>\u202e",
        text="<script>y</script>",
    )
    api.save_draft(anna, fields, draft=copy)
    page = page_of(as_anna, mail)
    assert "&lt;script&gt;y&lt;/script&gt;" in page
    assert "<script>x" not in page
    assert "<script>y" not in page
    assert "\u202e" not in page
