"""No parameter of any page, whatever its value, causes an error of the server."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

import outbox
import signin
from outbox.models import (
    SMARTHOST_KEY,
    Account,
    Destination,
    Message,
    SmtpSession,
    State,
    Template,
)
from tests.integration.web.conftest import signed_in, typed
from tests.states import set_state

# A test opens many pages, which takes long on a busy machine.
pytestmark = pytest.mark.timeout(400)

NASTY = {
    "NUL": b"id:\0",
    "half of a surrogate pair": b"\xed\xa0\x80",
    "not UTF-8": b"\xff\xfe",
    "more than 31 bits": b"2147483648",
    "more than 63 bits": b"9223372036854775808",
    "5,000 digits": b"9" * 5_000,
    "digits of a query": b"id:" + b"9" * 5_000,
    "negative": b"-1",
    "a fraction": b"1.5",
    "no number": b"nan",
    "a large number": b"1e400",
    "other digits": "\u0661\u0662".encode(),
    "superscript": "\u00b2".encode(),
    "a list": b"[1, 2]",
    "10 KB": b"x" * 10_000,
    "right to left": "\u202e\u2066abc\u2069".encode(),
    "line breaks": b"a\r\nBcc: evil@evil.example\r\n",
    "format characters": b"%(x)s %s {0} {x} \\",
    "a template with a date": b'{{ x|date:"U" }} {{ x|date:"r" }} {{ x|time:"e" }}',
    "a template with a constant": b'{{ "a"|default:x }} {{ x|default:y }}',
    "a template with lookups": b"{{ x.y.z }} {{ x.0 }} {{ block.super }} {{ forloop }}",
    "an open template": b'{{ x|date:"',
    "a date": b"9999-12-31T23:59",
    "the first year": b"0001-01-01T00:00",
    "a zone": b"../../etc/passwd",
    "an address": b'"a> NOTIFY=NEVER <b"@e.org',
    "a path": b"/\\evil.example//",
}
# Tried with every page; the others only with forms, which read more than numbers and texts.
WIDELY = list(NASTY)[:16]
# Of these, what databases and Python reject in ways of their own; the others take long.
ALWAYS = {"NUL", "half of a surrogate pair", "more than 63 bits", "5,000 digits", "other digits"}
_READ = re.compile(r"""(?:GET|POST|data|query)(?:\.get(?:list)?\(|\[)\s*["']([\w-]+)["']""")
_FIELD = re.compile(r"^    (\w+) = (?:forms\.)?\w*Field\(", re.MULTILINE)


def parameters() -> list[str]:
    """Return the names that the code of the pages reads, and those of all form fields."""
    names = {"value-x", "value-name", "form-TOTAL_FORMS", "m", "messages", "as", "from", "cid"}
    for package in (outbox, signin):
        for path in Path(package.__path__[0]).rglob("*.py"):
            text = path.read_text()
            names.update(_READ.findall(text))
            names.update(_FIELD.findall(text) if "forms" in path.name else ())
    names.update(typed(None))
    names -= {"host", "port", "address"}  # they would look up servers; test_autoconfig has them
    return sorted(names)


def addresses(known: dict[str, object]) -> Iterator[str]:
    """Yield an address of each page of the outbox and of the sign-in."""
    for pattern, name in _patterns(get_resolver(), ""):
        arguments = [known.get(key, 1) for key in pattern.pattern.converters]
        yield reverse(name, args=arguments)


def _patterns(resolver: URLResolver, namespace: str) -> Iterator[tuple[URLPattern, str]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            if entry.namespace != "admin":
                inside = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
                yield from _patterns(entry, inside)
        elif entry.name and entry.name not in {"logout", "outbox:undo"}:
            yield entry, f"{namespace}{entry.name}"


@pytest.fixture
def known(mail: Message, draft: Message, account: Account) -> dict[str, object]:
    template = Template.objects.create(owner=mail.owner, name="Offer", text="{{ x }}")
    return {"pk": mail.pk, "folder": "sent", "tab": "headers", "path": "1", "permit": "x",
            "draft": draft.pk, "template": template.pk, "uidb64": "MQ", "token": "x-y",
            "name": "cancel", "key": "x"}  # fmt: skip


def encoded(pairs: dict[str, bytes]) -> str:
    return "&".join(f"{name}={quote_from_bytes(value)}" for name, value in pairs.items())


def failures(client: Client, method: str, address: str, pairs: dict[str, bytes]) -> list[str]:
    content = encoded(pairs)
    if method == "GET":
        response = client.get(f"{address}?{content}")
    else:
        response = client.post(address, content, "application/x-www-form-urlencoded")
    return [f"{method} {address}: {response.status_code}"] if response.status_code >= 500 else []


def marks_of(kind: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return when a value is tried on every page."""
    return () if kind in ALWAYS else (pytest.mark.system,)


@pytest.mark.system
@pytest.mark.django_db
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=marks_of(kind), id=kind) for kind in WIDELY],
)
def test_no_page_fails_on_a_nasty_value(kind: str, known: dict[str, object], anna: User) -> None:
    """Every parameter has the value at once, in the query and in a form."""
    client = signed_in(anna)
    client.raise_request_exception = False
    pairs = dict.fromkeys(parameters(), NASTY[kind])
    found: list[str] = []
    for address in sorted(set(addresses(known))):
        found += failures(client, "GET", address, pairs)
        found += failures(client, "POST", address, pairs)
        if not client.session.get("_auth_user_id"):
            client.force_login(anna)  # the page signed the user out
    assert not found


FORMS: dict[str, dict[str, str]] = {
    "outbox:compose": typed(None),
    "outbox:compose-save": typed(None) | {"form": "a" * 22},
    "outbox:template-add": {"name": "Offer 2", "subject": "Hi", "text": "{{ x }}", "html": ""},
    "outbox:template-preview": {"subject": "Hi", "text": "{{ x }}", "html": "", "value-x": "1"},
    "outbox:contact-add": {"name": "Jane", "address": "jane@example.org"},
    "outbox:preferences": {"time_zone": "UTC", "language": "en", "page_size": "50"},
    "outbox:search": {"q": "x", "to": "a", "subject": "b", "after": "2026-01-01", "code": "550"},
}


@pytest.mark.system
@pytest.mark.django_db
@pytest.mark.parametrize("page", FORMS)
def test_no_form_fails_on_one_nasty_value(page: str, known: dict[str, object], anna: User) -> None:
    """The other fields are valid, so that the value gets further."""
    client = signed_in(anna)
    client.raise_request_exception = False
    address = reverse(page)
    account = Account.objects.get(owner=anna)
    valid = {name: value.encode() for name, value in FORMS[page].items()}
    if "account" in valid:
        valid["account"] = str(account.pk).encode()
    found = []
    for name in valid:
        for kind, value in NASTY.items():
            method = "GET" if page == "outbox:search" else "POST"
            tried = failures(client, method, address, valid | {name: value})
            found += [f"{name}: {kind}: {one}" for one in tried]
    assert not found


@pytest.mark.django_db
@pytest.mark.parametrize("part", ["subject", "text", "html"])
@pytest.mark.parametrize("kind", [one for one in NASTY if "template" in one])
def test_a_saved_template_does_not_break_the_composer(
    kind: str, part: str, account: Account, anna: User
) -> None:
    template = Template.objects.create(owner=anna, name="Offer", **{part: NASTY[kind].decode()})
    client = signed_in(anna)
    client.raise_request_exception = False
    for address in (
        reverse("outbox:compose-template") + f"?template={template.pk}",
        reverse("outbox:template", args=[template.pk]),
        reverse("outbox:compose") + f"?template={template.pk}",
    ):
        assert client.get(address).status_code < 500
        assert client.post(address, {"template": template.pk, "value-x": "1"}).status_code < 500


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["9" * 5_000, "\u00b2", "-1", "\0", "1.5"])
def test_a_question_about_strange_recipients_is_asked_again(
    key: str, mail: Message, as_anna: Client
) -> None:
    set_state(mail.recipients.all(), State.FAILED)
    address = reverse("outbox:retry", args=[mail.pk])
    response = as_anna.post(address, {"recipients": [key], "why": "\0"})
    assert response.status_code == 422


@pytest.mark.django_db
@pytest.mark.parametrize("size", ["9" * 5_000, "-1", "\u00b2", "1e9"])
def test_a_strange_size_that_a_server_announced_breaks_no_composer(
    size: str, draft: Message, account: Account, as_anna: Client
) -> None:
    destination = Destination.objects.create(account=account, key=SMARTHOST_KEY)
    SmtpSession.objects.create(
        destination=destination, started_at=timezone.now(), extensions={"SIZE": size}
    )
    fields = typed(account, subject="") | {"send": "1"}
    address = reverse("outbox:draft", args=[draft.pk])
    assert as_anna.post(address, fields).status_code < 500
    assert as_anna.get(address).status_code == 200


@pytest.mark.django_db
def test_every_parameter_is_known() -> None:
    assert {"q", "show", "seen", "recipient", "attempts", "text", "value-x"} <= set(parameters())
