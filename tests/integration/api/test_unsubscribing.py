"""Links to unsubscribe: the header fields, the token in them, and the warnings without them."""

import logging
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet
from django.core.mail import EmailMessage

from outbox import api
from outbox.api import unsubscribing
from outbox.backend import EmailBackend
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, Message
from outbox.models.secrets import make_token
from tests.integration.api.reading import read

pytestmark = pytest.mark.usefixtures("shop")

SITE = "https://mail.example.com"
ONE_CLICK = "List-Unsubscribe=One-Click"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": f"{SITE}/"}


def token_of(value: str) -> str:
    value = value.strip()  # Django folds a long value after the name
    assert value.startswith(f"<{SITE}/unsubscribe/")
    assert value.endswith("/>")
    return urlsplit(value.strip("<>")).path.split("/")[-2]


def sent(**options: Any) -> Any:
    given: dict[str, Any] = {"to": "Ann <ann@example.com>", "text": "News", "unsubscribe": True}
    return read(api.send(**given | options))


def test_a_message_names_the_link_of_its_recipient(shop: Account) -> None:
    mail = sent()
    assert mail["List-Unsubscribe-Post"] == ONE_CLICK
    found = unsubscribing.find_subscription(token_of(mail["List-Unsubscribe"]))
    assert found is not None
    assert (found.account, found.address) == (shop, "ann@example.com")


def test_the_link_does_not_reveal_the_address() -> None:
    first, second = (sent()["List-Unsubscribe"] for _ in range(2))
    assert first != second  # two links do not show that they are of one address
    token = token_of(first)
    decoded = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"ann@" not in decoded
    assert b"example.com" not in decoded


def test_the_longest_address_fits() -> None:
    domain = ".".join(["d" * 61] * 4)[: 254 - 65]
    address = f"{'l' * 64}@{domain}"
    mail = sent(to=address)
    found = unsubscribing.find_subscription(token_of(mail["List-Unsubscribe"]))
    assert found is not None
    assert found.address == address


@pytest.mark.parametrize("tags", [None, ["a"], ["news", "a"]])
def test_a_link_is_about_the_messages_with_a_tag(shop: Account, tags: list[str] | None) -> None:
    mail = sent(unsubscribe="news", tags=tags)
    assert mail["List-Unsubscribe-Post"] == ONE_CLICK
    found = unsubscribing.find_subscription(token_of(mail["List-Unsubscribe"]))
    assert found == unsubscribing.Subscription(shop, "ann@example.com", "news")
    stored = Message.objects.get().tags
    assert sorted(stored) == sorted({"news", *(tags or [])})


def test_each_message_of_a_bulk_send_has_the_tag_of_its_link() -> None:
    result = api.send_many([api.MergeRow("ann@example.com")], text="x", unsubscribe="news")
    [handle] = result.handles()
    found = unsubscribing.find_subscription(token_of(read(handle)["List-Unsubscribe"]))
    assert found is not None
    assert found.tag == "news"
    assert handle.message().tags == ["news"]


def test_a_django_message_has_the_tag_of_its_link() -> None:
    mail = from_django({"unsubscribe": "news"})
    found = unsubscribing.find_subscription(token_of(mail["List-Unsubscribe"]))
    assert found is not None
    assert found.tag == "news"
    assert Message.objects.get().tags == ["news"]


@pytest.mark.parametrize("tag", ["", "a\nb", "é" * 51, 1, " ", " news", "news\t"])
def test_a_link_needs_a_short_tag(tag: Any) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        sent(unsubscribe=tag)
    assert raised.value.field == "unsubscribe"


def test_the_longest_tag_fits_with_the_longest_address() -> None:
    address = f"{'l' * 64}@{'.'.join(['d' * 61] * 4)[: 254 - 65]}"
    mail = sent(to=address, unsubscribe="é" * 50)
    found = unsubscribing.find_subscription(token_of(mail["List-Unsubscribe"]))
    assert found is not None
    assert (found.address, found.tag) == (address, "é" * 50)


@pytest.mark.parametrize("name", ["List-Unsubscribe", "list-UNSUBSCRIBE"])
def test_a_header_of_the_caller_is_left_alone(name: str) -> None:
    mail = sent(to=["a@example.com", "b@example.com"], headers={name: "<https://example.com/u>"})
    assert mail.get_all("List-Unsubscribe") == ["<https://example.com/u>"]
    assert mail["List-Unsubscribe-Post"] is None


def test_nothing_is_added_unless_it_is_asked_for() -> None:
    mail = sent(unsubscribe=False)
    assert mail["List-Unsubscribe"] is None
    assert mail["Auto-Submitted"] is None


@pytest.mark.parametrize("more", [{"cc": "b@example.com"}, {"bcc": "b@example.com"}])
def test_a_link_needs_one_recipient(more: dict[str, str]) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        sent(**more)
    assert raised.value.field == "unsubscribe"
    assert not Message.objects.exists()


@pytest.mark.parametrize("missing", ["SITE_URL", "SECRET_KEYS"])
def test_a_link_needs_the_settings_for_it(settings: Any, missing: str) -> None:
    settings.OUTBOX = settings.OUTBOX | {missing: "" if missing == "SITE_URL" else []}
    with pytest.raises(InvalidMessageError, match=missing) as raised:
        sent()
    assert raised.value.field == "unsubscribe"


def test_one_click_needs_https(settings: Any) -> None:
    """RFC 8058 3.1. While a project is developed, the link leads to the page."""
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": "http://localhost:8000"}
    mail = sent()
    assert mail["List-Unsubscribe"].startswith("<http://localhost:8000/unsubscribe/")
    assert mail["List-Unsubscribe-Post"] is None


def test_each_message_of_a_bulk_send_has_its_own_link() -> None:
    rows = [api.MergeRow("ann@example.com"), api.MergeRow("ben@example.com", cc="x@example.com")]
    rows.append(api.MergeRow("cid@example.com"))
    result = api.send_many(rows, text="News", unsubscribe=True)
    links = [read(one)["List-Unsubscribe"] for one in result.handles()]
    found = [unsubscribing.find_subscription(token_of(link)) for link in links]
    assert [one and one.address for one in found] == ["ann@example.com", "cid@example.com"]
    assert [(one.place, one.error.field) for one in result.refused] == [(1, "unsubscribe")]


def test_a_bulk_send_with_a_header_of_the_caller_needs_no_link(settings: Any) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": ""}
    header = {"list-unsubscribe": "<https://example.com/u>"}
    rows = [api.MergeRow("ann@example.com")]
    result = api.send_many(rows, text="News", unsubscribe=True, headers=header)
    assert read(next(iter(result.handles())))["List-Unsubscribe"] == "<https://example.com/u>"


def from_django(outbox: dict[str, Any], **values: Any) -> Any:
    message: Any = EmailMessage("News", "News", "shop@example.com", ["ann@example.com"], **values)
    message.outbox = outbox
    assert EmailBackend().send_messages([message]) == 1
    return read(api.Handle(Message.objects.latest("pk").pk))


def test_a_django_message_has_a_link(shop: Account) -> None:
    mail = from_django({"unsubscribe": True, "auto_submitted": True})
    found = unsubscribing.find_subscription(token_of(mail["List-Unsubscribe"]))
    assert found is not None
    assert (found.account, found.address) == (shop, "ann@example.com")
    assert mail["List-Unsubscribe-Post"] == ONE_CLICK
    assert mail["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    "values", [{"cc": ["b@example.com"]}, {"headers": {"BCC": "b@example.com"}}]
)
def test_a_django_message_with_a_link_needs_one_recipient(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        from_django({"unsubscribe": True}, **values)
    assert raised.value.field == "unsubscribe"


def test_a_header_of_a_django_message_is_left_alone() -> None:
    mail = from_django({"unsubscribe": True}, headers={"List-unsubscribe": "<mailto:u@x.example>"})
    assert mail.get_all("List-Unsubscribe") == ["<mailto:u@x.example>"]


def test_an_automatic_message_says_so() -> None:
    mail = sent(unsubscribe=False, auto_submitted=True)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    own = sent(auto_submitted=True, headers={"auto-submitted": "auto-notified"})
    assert own.get_all("Auto-Submitted") == ["auto-notified"]


# --- tokens ---------------------------------------------------------------------------------------


def valid_token() -> str:
    return token_of(sent()["List-Unsubscribe"])


def test_a_token_of_a_former_key_is_valid_while_the_key_is_listed(settings: Any) -> None:
    token, former = valid_token(), settings.OUTBOX["SECRET_KEYS"]
    key = Fernet.generate_key().decode()
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [key, *former]}
    assert unsubscribing.find_subscription(token) is not None
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [key]}
    assert unsubscribing.find_subscription(token) is None
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": []}
    assert unsubscribing.find_subscription(token) is None


def test_any_change_makes_a_token_invalid() -> None:
    token = valid_token()
    for place in range(0, len(token) - 1, 7):
        other = "A" if token[place] != "A" else "B"
        forged = f"{token[:place]}{other}{token[place + 1 :]}"
        assert unsubscribing.find_subscription(forged) is None, place


@pytest.mark.parametrize(
    "token",
    ["", "x", "1", "=" * 30, "gAAAAA", "é" * 40, "A" * 120, "A" * 1_001, "\0", "../../admin"],
)
def test_what_is_not_a_token_is_not_found(token: str) -> None:
    assert unsubscribing.find_subscription(token) is None


def test_a_ciphertext_for_another_purpose_is_not_a_token(shop: Account) -> None:
    """A stored password, say, does not become a link."""
    token = make_token(f"{shop.pk} ann@example.com", "outbox.other")
    assert unsubscribing.find_subscription(token) is None


def test_a_token_is_no_longer_valid_without_its_account(shop: Account) -> None:
    token = make_token(f"{shop.pk + 1} ann@example.com", "outbox.unsubscribe")
    assert unsubscribing.find_subscription(token) is None


# --- warnings -------------------------------------------------------------------------------------

MANY = unsubscribing.BULK_FROM


def rows(count: int) -> list[api.MergeRow]:
    return [api.MergeRow(f"to{number}@example.com") for number in range(count)]


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return sum("List-Unsubscribe" in one.getMessage() for one in caplog.records)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="outbox")
    return caplog


def test_a_bulk_send_without_links_is_logged_once(log: pytest.LogCaptureFixture) -> None:
    result = api.send_many(rows(MANY * 2), text="News", batch_size=MANY // 2)
    assert (result.queued, warnings(log)) == (MANY * 2, 1)


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (MANY - 1, {}),
        (MANY, {"unsubscribe": True}),
        (MANY, {"headers": {"list-unsubscribe": "<mailto:u@example.com>"}}),
    ],
)
def test_a_bulk_send_with_links_or_to_few_is_not_logged(
    log: pytest.LogCaptureFixture, count: int, options: dict[str, Any]
) -> None:
    assert api.send_many(rows(count), text="News", **options).queued == count
    assert warnings(log) == 0


@pytest.mark.parametrize("kind", ["send", "backend"])
@pytest.mark.parametrize(("count", "times"), [(MANY, 1), (MANY - 1, 0)])
def test_one_message_to_many_is_logged(
    log: pytest.LogCaptureFixture, kind: str, count: int, times: int
) -> None:
    hidden = [f"to{number}@example.com" for number in range(count)]
    if kind == "send":
        api.send(bcc=hidden, text="News")
    else:
        message = EmailMessage("News", "News", "shop@example.com", bcc=hidden)
        EmailBackend().send_messages([message])
    assert warnings(log) == times


def test_one_message_with_a_header_is_not_logged(log: pytest.LogCaptureFixture) -> None:
    headers = {"List-Unsubscribe": "<mailto:u@example.com>"}
    hidden = [f"to{number}@example.com" for number in range(MANY)]
    api.send(bcc=hidden, text="News", headers=headers)
    message = EmailMessage("News", "News", "shop@example.com", bcc=hidden, headers=headers)
    EmailBackend().send_messages([message])
    assert warnings(log) == 0
