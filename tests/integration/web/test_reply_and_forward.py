"""Reply, forward, edit as new, resend: each opens the composer, and a change stores the draft."""

from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.conf import get_conf
from outbox.models import Account, Message, State
from tests.integration.web.conftest import signed_in
from tests.integration.web.controls import controls_of
from tests.states import set_state


@pytest.fixture
def letter(anna: User, account: Account) -> Message:
    """A message to recipients in every role, with a file, sent in a thread."""
    fields = api.DraftFields(
        account=account,
        to='Jane <jane@example.com>, "Joe, the other" <joe@example.org>',
        cc="boss@example.com",
        bcc="quiet@example.net",
        reply_to="replies@example.com",
        subject="Figures",
        importance="high",
        text="Hello,\n\n> you asked\nhere they are.",
    )
    draft = api.save_draft(anna, fields)
    api.attach(draft, "figures.csv", "text/csv", b"1;2;3\r\n")
    draft.in_reply_to = "<asked@example.org>"
    draft.save()
    draft.draft.references = "<first@example.org> <asked@example.org>"
    draft.draft.save()
    return api.send_draft(draft, actor=anna)


def open_composer(client: Client, mail: Message, kind: str) -> str:
    """Click the button; return the composer's page, which has stored nothing."""
    before = Message.objects.count()
    response = client.post(reverse("outbox:reply", args=[mail.pk]), {"as": kind})
    assert response.status_code == 302
    page = client.get(response["Location"])
    assert page.status_code == 200
    assert Message.objects.count() == before
    return page.content.decode()


def make(client: Client, mail: Message, kind: str, **changes: str) -> Message:
    """Click the button, save the contents of the page, and return the draft."""
    fields = controls_of(open_composer(client, mail, kind)) | changes
    response = client.post(reverse("outbox:compose"), fields | {"save": "1"})
    made = Message.objects.latest("pk")
    assert response.status_code == 302
    assert response["Location"] == reverse("outbox:draft", args=[made.pk])
    assert made.is_draft
    assert made.made_from == mail
    return made


def test_a_reply_goes_on_with_the_same_people_in_the_same_thread(
    as_anna: Client, letter: Message
) -> None:
    made = make(as_anna, letter, "reply")
    assert made.subject == "Re: Figures"
    assert made.draft.to == 'Jane <jane@example.com>, "Joe, the other" <joe@example.org>'
    assert made.draft.cc == "boss@example.com"
    assert made.draft.bcc == ""
    assert made.draft.text.endswith(
        "Anna <anna@example.com> wrote:\n> Hello,\n>\n>> you asked\n> here they are.\n"
    )
    assert made.in_reply_to == f"<{letter.message_id}>"
    assert made.draft.references == f"<first@example.org> <asked@example.org> <{letter.message_id}>"
    assert not made.attachments.exists()


def test_a_sent_reply_refers_to_its_original(as_anna: Client, anna: User, letter: Message) -> None:
    reply = api.send_draft(make(as_anna, letter, "reply"), actor=anna)
    source = reply.source.read().decode()
    assert f"In-Reply-To: <{letter.message_id}>\r\n" in source
    assert "References: <first@example.org> <asked@example.org>\r\n" in source
    page = as_anna.get(reverse("outbox:message", args=[reply.pk])).content.decode()
    assert reverse("outbox:message", args=[letter.pk]) in page


def test_a_forward_includes_text_and_files_and_has_no_recipients(
    as_anna: Client, letter: Message
) -> None:
    made = make(as_anna, letter, "forward")
    assert made.subject == "Fwd: Figures"
    assert made.draft.to == made.draft.cc == made.draft.bcc == ""
    assert "Subject: Figures\nTo: Jane <jane@example.com>" in made.draft.text
    assert "quiet@example.net" not in made.draft.text
    assert made.draft.text.endswith("\n\nHello,\n\n> you asked\nhere they are.\n")
    assert made.in_reply_to == made.draft.references == ""
    file = made.attachments.get()
    assert (file.name, file.read()) == ("figures.csv", b"1;2;3\r\n")
    assert file.content_type == 'text/csv; charset="utf-8"'


def test_a_copy_has_the_fields_and_files_of_the_original(as_anna: Client, letter: Message) -> None:
    made = make(as_anna, letter, "copy")
    kept = ("to", "cc", "bcc", "reply_to", "text", "references")
    assert {name: getattr(made.draft, name) for name in kept} == {
        name: getattr(letter.draft, name) for name in kept
    }
    assert (made.subject, made.importance, made.account) == ("Figures", "high", letter.account)
    assert made.in_reply_to == "<asked@example.org>"
    assert made.attachments.get().read() == b"1;2;3\r\n"


def test_a_resend_is_addressed_to_the_failed_recipients_only(
    as_anna: Client, letter: Message
) -> None:
    set_state(letter.recipients, State.SENT)
    set_state(letter.recipients.filter(address="joe@example.org"), State.FAILED)
    set_state(letter.recipients.filter(address="quiet@example.net"), State.EXPIRED)
    made = make(as_anna, letter, "resend")
    assert made.draft.to == '"Joe, the other" <joe@example.org>'
    assert made.draft.cc == ""
    assert made.draft.bcc == "quiet@example.net"


def test_both_pages_lead_to_each_other(as_anna: Client, letter: Message) -> None:
    made = make(as_anna, letter, "copy")
    page = as_anna.get(reverse("outbox:message", args=[letter.pk])).content.decode()
    assert reverse("outbox:draft", args=[made.pk]) in page
    assert "copy, draft" in page


@pytest.fixture
def foreign(anna: User, account: Account) -> Message:
    """A message of an app: HTML with a script, an inline picture and an attached message."""
    source = EmailMessage()
    source["From"] = "shop@example.com"
    source["Subject"] = "Invoice"
    source["To"] = "jane@example.com"
    source.add_alternative(
        '<p onclick="x()">Please <b>pay</b></p><script>x()</script><img src="cid:logo">',
        subtype="html",
    )
    (html,) = source.iter_parts()
    html.add_related(b"png", "image", "png", cid="<logo>", filename="logo.png")
    enclosed = EmailMessage()
    enclosed["Subject"] = "Order"
    enclosed.set_content("I order")
    enclosed.add_attachment(b"inner", "text", "plain", filename="inner.txt")
    source.add_attachment(enclosed)
    outgoing = api.Outgoing(
        source=source.as_bytes(policy=source.policy.clone(linesep="\r\n")),
        envelope_sender="",
        recipients=[api.OutgoingRecipient("jane@example.com")],
        account=account,
        owner=anna,
        from_header="shop@example.com",
    )
    (mail,) = api.queue_sources([outgoing])
    return mail


def test_a_reply_to_an_app_message_quotes_sanitized_html(as_anna: Client, foreign: Message) -> None:
    made = make(as_anna, foreign, "reply")
    assert "<blockquote><p>Please <b>pay</b></p>" in made.draft.html
    assert "script" not in made.draft.html
    assert "onclick" not in made.draft.html
    assert "> Please pay" in made.draft.text
    assert [file.content_id for file in made.attachments.all()] == ["logo"]  # seen in the quote


def test_an_attached_message_is_forwarded_whole(as_anna: Client, foreign: Message) -> None:
    made = make(as_anna, foreign, "forward")
    logo, enclosed = made.attachments.all()
    assert logo.content_id == "logo"
    assert enclosed.content_type == "message/rfc822"
    assert b"inner.txt" in enclosed.read()


def test_a_forward_shows_the_whole_text_and_keeps_what_its_files_are(
    as_anna: Client, anna: User, account: Account
) -> None:
    """Of a list's footer, of an invitation, and of a text in an old charset."""
    source = (
        b'From: shop@example.com\r\nContent-Type: multipart/mixed; boundary="o"\r\n\r\n'
        b'--o\r\nContent-Type: multipart/alternative; boundary="i"\r\n\r\n'
        b"--i\r\n\r\nletter\r\n--i\r\nContent-Type: text/html\r\n\r\n<p>letter<!--\r\n--i--\r\n"
        b"--o\r\n\r\nfooter\r\n"
        b'--o\r\nContent-Type: text/calendar; method=REQUEST; name="i.ics"\r\n\r\nBEGIN\r\n'
        b'--o\r\nContent-Type: text/plain; charset=iso-8859-1; name="a.txt"\r\n'
        b"Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n5A==\r\n"
        b"--o--\r\n"
    )
    outgoing = api.Outgoing(
        source=source,
        envelope_sender="",
        recipients=[api.OutgoingRecipient("jane@example.com")],
        account=account,
        owner=anna,
    )
    (message,) = api.queue_sources([outgoing])

    made = make(as_anna, message, "forward")

    assert made.draft.text.split()[-2:] == ["letter", "footer"]
    assert made.draft.html.index("footer") > made.draft.html.index("letter")
    assert [(file.name, file.content_type, file.read()) for file in made.attachments.all()] == [
        ("i.ics", 'text/calendar; method="REQUEST"', b"BEGIN"),
        ("a.txt", 'text/plain; charset="iso-8859-1"', b"\xe4"),
    ]


def test_an_account_that_may_no_longer_be_used_is_not_selected(
    as_anna: Client, letter: Message, account: Account, ben: User
) -> None:
    account.owner = ben
    account.save()
    assert make(as_anna, letter, "copy").account is None


def test_files_too_large_for_a_message_are_reported_and_store_no_draft(
    as_anna: Client, letter: Message, settings: object
) -> None:
    drafts = Message.objects.filter(status="draft").count()
    settings.OUTBOX = {**settings.OUTBOX, "MAX_MESSAGE_BYTES": 3}  # type: ignore[attr-defined]  # pytest-django's
    assert get_conf().max_message_bytes == 3
    response = as_anna.post(reverse("outbox:reply", args=[letter.pk]), {"as": "forward"})
    assert response["Location"] == reverse("outbox:message", args=[letter.pk])
    assert "The limit" in str(next(iter(get_messages(response.wsgi_request))))
    assert Message.objects.filter(status="draft").count() == drafts


@pytest.mark.parametrize("kind", ["", "steal"])
def test_an_unknown_kind_of_reply_is_rejected(as_anna: Client, letter: Message, kind: str) -> None:
    count = Message.objects.count()
    response = as_anna.post(reverse("outbox:reply", args=[letter.pk]), {"as": kind})
    assert response.status_code == 400
    assert Message.objects.count() == count


def test_a_draft_cannot_be_copied(as_anna: Client, draft: Message) -> None:
    assert as_anna.post(reverse("outbox:reply", args=[draft.pk]), {"as": "copy"}).status_code == 404


def test_a_message_whose_source_is_gone_can_still_be_copied(
    as_anna: Client, letter: Message
) -> None:
    letter.source.delete()
    assert make(as_anna, letter, "copy").draft.to == letter.draft.to


# The draft is stored with the first change.


def test_a_page_that_is_loaded_again_has_all_of_it(as_anna: Client, letter: Message) -> None:
    first, second = (controls_of(open_composer(as_anna, letter, "forward")) for _ in range(2))
    different = {"form", "csrfmiddlewaretoken"}
    assert {name: first[name] for name in first.keys() - different} == {
        name: second[name] for name in second.keys() - different
    }
    assert first["form"] != second["form"]  # two tabs are two drafts


def test_repeated_saves_of_one_page_store_one_draft(as_anna: Client, letter: Message) -> None:
    fields = controls_of(open_composer(as_anna, letter, "forward"))
    before = Message.objects.count()
    for text in ("a", "ab", "abc"):  # the response to each was lost
        save = as_anna.post(reverse("outbox:compose-save"), fields | {"text": text})
        assert "figures.csv" in save.json()["list"]
    draft = Message.objects.latest("pk")
    assert Message.objects.count() == before + 1
    assert (draft.draft.text, draft.attachments.count()) == ("abc", 1)


def test_a_forward_can_be_sent_at_once(as_anna: Client, letter: Message) -> None:
    fields = controls_of(open_composer(as_anna, letter, "forward")) | {"to": "new@example.com"}
    as_anna.post(reverse("outbox:compose"), fields | {"send": "1"})
    sent = Message.objects.latest("pk")
    assert not sent.is_draft
    assert sent.made_from == letter
    assert b"figures.csv" in sent.source.read()


def test_two_tabs_store_two_replies(as_anna: Client, letter: Message) -> None:
    pages = [controls_of(open_composer(as_anna, letter, "reply")) for _ in range(2)]
    before = Message.objects.count()
    for page in pages:
        as_anna.post(reverse("outbox:compose-save"), page)
    assert Message.objects.count() == before + 2


def test_a_file_that_was_removed_is_not_attached(as_anna: Client, letter: Message) -> None:
    fields = controls_of(open_composer(as_anna, letter, "forward"))
    without = {name: value for name, value in fields.items() if name != "included"}
    as_anna.post(reverse("outbox:compose-save"), without)
    assert not Message.objects.latest("pk").attachments.exists()
    # Without scripts, the button submits the form.
    fields = controls_of(open_composer(as_anna, letter, "forward"))
    response = as_anna.post(reverse("outbox:compose"), fields | {"exclude": fields["included"]})
    made = Message.objects.latest("pk")
    assert response["Location"] == reverse("outbox:draft", args=[made.pk])
    assert (made.made_from, made.attachments.count()) == (letter, 0)


def test_a_picture_of_the_text_is_displayed_before_it_is_stored(
    as_anna: Client, foreign: Message
) -> None:
    fields = controls_of(open_composer(as_anna, foreign, "reply"))
    address = reverse("outbox:original-picture", args=[foreign.pk]) + "?cid=logo"
    assert f'src="{address}"' in fields["html"]
    picture = as_anna.get(address)
    assert (picture.content, picture["Content-Type"]) == (b"png", "image/png")
    assert "sandbox" in picture["Content-Security-Policy"]
    save = as_anna.post(reverse("outbox:compose-save"), fields).json()
    made = Message.objects.latest("pk")
    assert 'src="cid:logo"' in made.draft.html
    # The page goes on with the address that it has.
    as_anna.post(save["save"], fields | {"version": save["version"]})
    made = Message.objects.get(pk=made.pk)
    assert 'src="cid:logo"' in made.draft.html
    assert made.attachments.get().content_id == "logo"


def test_a_picture_that_the_html_holds_itself_is_forwarded(
    as_anna: Client, anna: User, account: Account
) -> None:
    png = "iVBORw0KGgo="
    handle = api.send(
        to="jane@example.com", subject="x", account=account, owner=anna, text="x",
        html=f'<p>See <img src="data:image/png;base64,{png}"></p>',
    )  # fmt: skip
    made = make(as_anna, handle.message(), "forward")
    picture = made.attachments.get()
    assert f'src="cid:{picture.content_id}"' in made.draft.html
    assert picture.read() == b"\x89PNG\r\n\x1a\n"


def test_another_user_s_message_cannot_be_replied_to_or_forwarded(
    carl: User, letter: Message
) -> None:
    client = signed_in(carl)
    compose = reverse("outbox:compose")
    assert client.get(compose, {"from": str(letter.pk), "as": "forward"}).status_code == 404
    picture = reverse("outbox:original-picture", args=[letter.pk])
    assert client.get(picture, {"cid": "logo"}).status_code == 404
    fields = {"from": str(letter.pk), "as": "forward", "included": "1.2", "text": "What I typed"}
    client.post(compose, fields | {"save": "1"})
    made = Message.objects.latest("pk")
    assert (made.owner, made.draft.text) == (carl, "What I typed")  # no word is lost
    assert (made.made_from, made.attachments.count()) == (None, 0)


def test_files_that_may_no_longer_be_read_are_not_attached(
    as_anna: Client, carl: User, letter: Message
) -> None:
    fields = controls_of(open_composer(as_anna, letter, "forward"))
    Message.objects.filter(pk=letter.pk).update(owner=carl)
    response = as_anna.post(reverse("outbox:compose"), fields | {"save": "1"}, follow=True)
    assert "You can no longer read the original message." in response.content.decode()
    made = Message.objects.latest("pk")
    assert (made.made_from, made.attachments.count()) == (None, 0)
    assert made.draft.text == fields["text"].replace("\r\n", "\n")


@pytest.mark.parametrize(
    "query", ["from=&as=reply", "from=x&as=reply", "from=%00&as=reply", "from=999999&as=reply"]
)
def test_an_original_that_is_not_there_is_not_found(as_anna: Client, query: str) -> None:
    assert as_anna.get(f"{reverse('outbox:compose')}?{query}").status_code == 404


def test_quoted_html_is_escaped_in_the_page(as_anna: Client, anna: User, account: Account) -> None:
    html = "<p>&lt;/textarea&gt;&lt;script&gt; &amp;lt; <b>bold</b></p>"
    handle = api.send(
        to="jane@example.com", subject="x", account=account, owner=anna, text="x", html=html
    )
    page = open_composer(as_anna, handle.message(), "forward")
    assert html in controls_of(page)["html"]
    assert page.count("</textarea>") == page.count("<textarea")
    assert html in make(as_anna, handle.message(), "forward").draft.html
