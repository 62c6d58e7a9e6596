"""Viewing a hostile message: no request is sent, nothing runs, nothing misleads (protocol items
153 to 155).

Every trick is first shown to work without protection, so that the absence of calls means
something. Then each protection is tested alone, and finally the real pages.
"""

import json
import re
from collections.abc import Iterator
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.mail.html import clean_for_preview
from outbox.models import Account, Attempt, Message, SmtpSession
from outbox.models.rollup import roll_up
from outbox.reasons import quoted
from outbox.web.messages.content import TABS
from outbox.web.messages.preview import POLICY, SANDBOX
from tests.browser.hostile import CALLING, COLLECT_REPORTS, Server, every_trick, serving, trick
from tests.browser.writing import sign_in
from tests.states import set_state

if TYPE_CHECKING:
    from playwright.sync_api import Page

QUIET = 500  # milliseconds in which every trick above has long called
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360f8cf500f0003860180b5a4d4c80000000049454e44ae426082"
)
# Characters that reverse, hide or clear the text around them.
MISLEADING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture
def pages() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def counter() -> Iterator[Server]:
    with serving() as server:
        yield server


def frames(pages: Server, counter: Server, *, sandbox: str = "", policy: str = "") -> str:
    """Serve each trick in a frame of its own with these protections; return the page's address."""
    headers = {"Content-Security-Policy": policy} if policy else {}
    shown = ""
    for number, name in enumerate(CALLING):
        html = f"<!doctype html><body>{trick(name, counter.host)}"
        pages.pages[f"/{number}"] = (html, headers)
        shown += f'<iframe {sandbox} src="/{number}"></iframe>'
    pages.pages["/"] = (f"<!doctype html>{shown}", {})
    return f"http://{pages.host}/"


def reports(page: "Page") -> list[str]:
    """Return the reports of scripts that ran."""
    collected: list[str] = page.evaluate("reports")
    return collected


def test_every_trick_works_without_protection(page: "Page", pages: Server, counter: Server) -> None:
    page.add_init_script(COLLECT_REPORTS)
    page.goto(frames(pages, counter))
    wanted = {f"/{name.replace(' ', '-')}" for name in CALLING}
    for _ in range(100):
        if wanted <= set(counter.paths):
            break
        page.wait_for_timeout(100)
    assert wanted - set(counter.paths) == set()
    assert "inline script" in reports(page)


@pytest.mark.parametrize("sandbox", [f'sandbox="{SANDBOX}"', ""], ids=["framed", "by itself"])
def test_the_policy_stops_every_trick_in_unsanitized_html(
    page: "Page", pages: Server, counter: Server, sandbox: str
) -> None:
    page.add_init_script(COLLECT_REPORTS)
    page.goto(frames(pages, counter, sandbox=sandbox, policy=POLICY))
    page.wait_for_timeout(QUIET)
    # Chromium opens a connection for a nested frame before it checks the policy: requests count.
    assert counter.paths == []
    assert reports(page) == []


def test_sanitized_html_contains_no_trick_without_a_policy(
    page: "Page", pages: Server, counter: Server
) -> None:
    cleaned = [clean_for_preview(trick(name, counter.host), {})[0] for name in CALLING]
    cleaned.append(clean_for_preview(every_trick(counter.host), {})[0])
    pages.pages["/"] = ("<!doctype html>" + "\n".join(cleaned), {})
    page.add_init_script(COLLECT_REPORTS)
    page.goto(f"http://{pages.host}/")
    page.wait_for_timeout(QUIET)
    assert counter.calls == []
    assert reports(page) == []


@pytest.fixture
def poisoned(anna: User, counter: Server) -> Message:
    """A message with hostile text in every field that a page shows."""
    account = Account.objects.create(
        owner=anna, name="Work", from_address="anna@example.com", host="mail.example.com"
    )
    outgoing = api.Outgoing(
        source=hostile_source(counter.host),
        envelope_sender="anna@example.com",
        recipients=[api.OutgoingRecipient("jane@example.com"), api.OutgoingRecipient("joe@x.org")],
        account=account,
        owner=anna,
        text="Hello",
    )
    (mail,) = api.queue_sources([outgoing])
    said = hostile_words(counter.host)
    Message.objects.filter(pk=mail.pk).update(
        subject=said, from_header=said, to_summary=said[:200], snippet=said[:160],
        message_id=said[:255], in_reply_to=said[:255],
    )  # fmt: skip
    session = SmtpSession.objects.create(
        host=said[:255],
        started_at=timezone.now(),
        tls={"version": said, "cipher": said, "subject": said, "verified": True},
        auth_mechanism="PLAIN",
        tried=[[said, said]],
        extensions={said: said},
        greeting=said,
        opening=json.dumps([[1, "S", said], [2, "-", said]]),
        closing=json.dumps([[3, "S", said]]),
    )
    result = {"address": said, "state": "failed", "code": 550, "text": said, "command": said}
    attempt = Attempt.objects.create(
        message=mail,
        session=session,
        started_at=timezone.now(),
        ended_at=timezone.now(),
        outcome="failed",
        reason=quoted(said),
        late_reply=said,
        traceback=said,
        results=json.dumps([result]),
        transfer=json.dumps([[2, "C", said], [3, "S", said]]),
    )
    set_state(
        mail.recipients,
        "failed",
        name=said[:255],
        reply_code=550,
        reply_text=said,
        reply_command="RCPT",
        reason=said,
        remote_host=said[:255],
        remote_queue_id=said[:100],
        attempt=attempt,
    )
    roll_up([mail.pk], timezone.now(), "default")
    return mail


def hostile_words(host: str) -> str:
    """Return one line with markup, and with characters that reverse, hide and clear text."""
    return (
        f"<img src=http://{host}/words><script src=http://{host}/words></script>"
        "\"'>\u202etxt.exe\u2066\u200e\x1b[2J\x07\x9b31m\ufeff end"
    )


def hostile_source(host: str) -> bytes:
    """Return a message with every trick, and with files of hostile names and types."""
    mail = EmailMessage()
    mail["From"] = "Mallory <mallory@example.com>"
    mail["Subject"] = f"=?utf-8?q?=3Cimg_src=3Dhttp=3A//{host}/subject=3E=E2=80=AEexe?="
    mail.set_content(hostile_words(host).replace("\x1b", "").replace("\x07", ""))
    html = (
        f"<p>Before</p>{every_trick(host)}<p>After</p>"
        '<img src="cid:dot"><img src="cid:svg"><img src="cid:page">'
        f'<p><a href="http://{host}/link">a link</a>'
        f" <a href=\"javascript:fetch('http://{host}/clicked')\">a script</a></p>"
    )
    mail.add_alternative(html, subtype="html")
    (body,) = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    svg = f"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://{host}/svg'/></svg>"
    body.add_related(PNG, "image", "png", cid="<dot>")
    body.add_related(svg.encode(), "image", "svg+xml", cid="<svg>")
    body.add_related(f"<img src=http://{host}/page>".encode(), "text", "html", cid="<page>")
    for name in (f"<img src=http://{host}/name>.html", "../../evil\u202egnp.html", "n" * 300):
        page = f"<script src=http://{host}/file></script>".encode()
        mail.add_attachment(page, "text", "html", filename=name)
    return mail.as_bytes(policy=mail.policy.clone(linesep="\r\n", max_line_length=78))


@pytest.mark.system
def test_no_page_about_a_hostile_message_calls_runs_or_misleads(
    page: "Page", live_server: Any, poisoned: Message, counter: Server
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.add_init_script(COLLECT_REPORTS)
    sign_in(page)
    for address in addresses(poisoned):
        page.goto(address)
        for details in page.locator("details").all():
            details.evaluate("details => { details.open = true }")
        page.wait_for_timeout(QUIET / 5)
        shown = page.evaluate("document.title + document.body.innerText")
        assert MISLEADING.findall(shown) == [], address
        assert reports(page) == []
    page.wait_for_timeout(QUIET)
    assert counter.calls == []
    assert [url for url in asked if not url.startswith((live_server.url, "data:"))] == []


def addresses(mail: Message) -> list[str]:
    """Return the pages that show parts of the message."""
    about = reverse("outbox:message", args=[mail.pk])
    return [
        reverse("outbox:folder", args=["failed"]),
        *(f"{about}?show={tab}" for tab in TABS),
        reverse("outbox:retry", args=[mail.pk]),
    ]


def test_the_preview_shows_the_message_and_its_own_pictures(
    page: "Page", poisoned: Message, counter: Server
) -> None:
    sign_in(page)
    page.goto(reverse("outbox:message", args=[poisoned.pk]))
    frame = page.frame_locator("#preview-light")
    frame.get_by_text("After").wait_for()
    assert frame.locator("img[src^='data:image/png']").count() == 1
    assert frame.locator("script, svg, math, form, iframe, meta[http-equiv]").count() == 0
    notice = page.get_by_text("Remote content from 1 host is blocked:")
    assert counter.host.partition(":")[0] in notice.inner_text()


def test_a_link_in_a_message_opens_only_when_clicked_and_sends_no_referrer(
    page: "Page", poisoned: Message, counter: Server
) -> None:
    sign_in(page)
    page.goto(reverse("outbox:message", args=[poisoned.pk]))
    frame = page.frame_locator("#preview-light")
    frame.get_by_text("a script").click()
    with page.expect_popup() as popup:
        frame.get_by_role("link", name="a link").click()
    popup.value.wait_for_load_state()
    assert counter.referrers["/link"] is None
    assert "/clicked" not in counter.paths
    assert popup.value.evaluate("opener") is None


def test_the_preview_by_itself_is_as_harmless_and_ends_with_its_permit(
    page: "Page", poisoned: Message, counter: Server
) -> None:
    sign_in(page)
    page.goto(reverse("outbox:message", args=[poisoned.pk]))
    source = page.locator("#preview-light").get_attribute("src")
    assert source is not None
    address = source.partition("?")[0]
    page.add_init_script(COLLECT_REPORTS)
    page.goto(address)
    page.get_by_text("After").wait_for()
    page.wait_for_timeout(QUIET)
    assert counter.calls == []
    assert page.evaluate("origin") == "null"
    response = page.goto(f"{address[:-3]}xx/")
    assert response is not None
    assert response.status == 403
    assert page.get_by_text("This preview has expired.").is_visible()
