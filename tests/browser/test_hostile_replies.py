"""Replies to a hostile message: nothing of it runs or is fetched in the composer (protocol items
153 to 155).

Once with the site's policy, and once as on a site without a policy.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox import api
from outbox.models import Account, Draft, Message
from tests.browser.hostile import COLLECT_REPORTS, Server, serving
from tests.browser.test_hostile_messages import QUIET, hostile_source, reports
from tests.browser.writing import SAVED_WITHIN, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

HARMFUL = (
    "<script",
    "<style",
    "<iframe",
    "<svg",
    "<math",
    "<form",
    "<meta",
    "<base",
    "javascript:",
)


@pytest.fixture
def counter() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def hostile(writer: User, counter: Server) -> Message:
    outgoing = api.Outgoing(
        source=hostile_source(counter.host),
        envelope_sender="anna@example.com",
        recipients=[api.OutgoingRecipient("jane@example.com")],
        account=Account.objects.get(owner=writer),
        owner=writer,
    )
    (mail,) = api.queue_sources([outgoing])
    return mail


def without_policy(route: "Route") -> None:
    """Respond like a site that sends no policy."""
    response = route.fetch()
    headers = {
        name: value
        for name, value in response.headers.items()
        if not name.startswith("content-security-policy")
    }
    route.fulfill(response=response, headers=headers)


def draft_saved_with(page: "Page", text: str, *, besides: Message) -> str:
    """Wait until the draft was saved with this text, and return its HTML."""
    deadline = time.monotonic() + SAVED_WITHIN
    while True:
        draft = Draft.objects.exclude(message=besides.pk).first()
        html = draft.html.lower() if draft else ""
        if text in html:
            return html
        assert time.monotonic() < deadline, f"{text!r} was not saved"
        page.wait_for_timeout(50)


@pytest.mark.parametrize("policy", ["the site's policy", "no policy"])
@pytest.mark.parametrize("button", ["Reply", "Forward", "Edit as new"])
def test_no_draft_from_a_hostile_message_calls_or_runs(
    page: "Page", hostile: Message, counter: Server, button: str, policy: str
) -> None:
    page.add_init_script(COLLECT_REPORTS)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    sign_in(page)
    page.goto(reverse("outbox:message", args=[hostile.pk]))
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_url("**/compose/**")
    if policy == "no policy":
        address = page.url
        # Playwright does not intercept redirects, so load the page once more.
        page.route(lambda url: url == address, without_policy)
        page.reload()
    page.locator(".rich").get_by_text("After").wait_for()
    page.locator(".rich").press("Control+End")
    page.keyboard.type(" typed")
    kept = draft_saved_with(page, "typed", besides=hostile)
    page.wait_for_timeout(QUIET)
    assert counter.calls == []
    assert reports(page) == []
    assert [word for word in HARMFUL if word in kept] == []
