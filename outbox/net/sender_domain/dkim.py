"""DKIM: whether the record of a key is published as it should be (RFC 6376 3.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain.finding import Finding, Level, Record, unknown_if_failed
from outbox.texts import Value, gettext_noop

_CHECK = "DKIM"
_WHITE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Published:
    """The record that a key needs, and whether the key signs messages."""

    name: str
    text: str
    is_active: bool
    is_retired: bool = False


def check_key(key: Published, dns: Dns) -> list[Finding]:
    """Return what is to be said about the record of a key."""
    return unknown_if_failed(_CHECK, lambda: _check(key, dns))


def _check(key: Published, dns: Dns) -> Iterator[Finding]:
    texts = dns.texts(key.name)
    values: dict[str, Value] = {"name": key.name}
    publish = Record(key.name, "TXT", key.text)
    if not texts:
        yield _missing(key, values, publish)
        return
    if len(texts) > 1:
        template = gettext_noop("%(name)s has several TXT records. Publish only one.")
        yield Finding(_CHECK, Level.ERROR, template, values, publish)
        return
    found, wanted = _tags(texts[0]), _tags(key.text)
    problems = list(_problems(found, wanted))
    for template in problems:
        yield Finding(_CHECK, Level.ERROR, template, values, publish)
    if problems:
        return
    if "y" in found.get("t", "").split(":"):
        template = gettext_noop(
            "%(name)s is marked as a test (t=y): receivers may treat messages as unsigned."
        )
        yield Finding(_CHECK, Level.WARNING, template, values, publish)
    yield _matching(key, values)


def _missing(key: Published, values: dict[str, Value], publish: Record) -> Finding:
    if key.is_active:
        template = gettext_noop(
            "%(name)s is not published. Messages are signed with this key, and no receiver can "
            "verify them. Publish the record, or retire the key."
        )
        return Finding(_CHECK, Level.ERROR, template, values, publish)
    if key.is_retired:
        template = gettext_noop(
            "%(name)s is not published any more. Remove the key, unless messages that it has "
            "signed are still on their way."
        )
        return Finding(_CHECK, Level.OK, template, values)
    template = gettext_noop("%(name)s is not published yet. Publish it, then activate the key.")
    return Finding(_CHECK, Level.WARNING, template, values, publish)


def _problems(found: dict[str, str], wanted: dict[str, str]) -> Iterator[str]:
    """Yield why receivers cannot verify signatures of the key with this record."""
    if found.get("v", "DKIM1") != "DKIM1":
        yield gettext_noop("%(name)s is not a DKIM record: it does not begin with “v=DKIM1”.")
    elif found.get("p") == "":
        yield gettext_noop("%(name)s revokes the key: its “p=” is empty.")
    elif found.get("k", "rsa") != wanted["k"] or found.get("p") != wanted["p"]:
        yield gettext_noop("%(name)s has another key than the one that signs.")
    elif "sha256" not in found.get("h", "sha256").split(":"):
        yield gettext_noop("%(name)s does not allow SHA-256 (“h=”).")
    elif not {"*", "email"}.intersection(found.get("s", "*").split(":")):
        yield gettext_noop("%(name)s does not allow the key for email (“s=”).")


def _matching(key: Published, values: dict[str, Value]) -> Finding:
    if key.is_active:
        template = gettext_noop("%(name)s is published, and messages are signed with this key.")
        return Finding(_CHECK, Level.OK, template, values)
    if key.is_retired:
        template = gettext_noop(
            "%(name)s is still published. The key is retired, and its record can go when the "
            "messages that it has signed have arrived."
        )
        return Finding(_CHECK, Level.OK, template, values)
    template = gettext_noop("%(name)s is published. Activate the key to sign messages with it.")
    return Finding(_CHECK, Level.WARNING, template, values)


def _tags(text: str) -> dict[str, str]:
    pairs = (one.partition("=") for one in _WHITE.sub("", text).split(";"))
    return {name: value for name, _, value in pairs if name}
