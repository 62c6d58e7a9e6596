"""The links of a message: the text and the target of each.

A link whose text names another host than its target deceives people, and spam filters look for it.
Hosts are in A-labels, so that similar characters of other scripts are recognized.
"""

import html as entities
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import idna

from outbox.mail.markup import attributes, tokens

MAX_TEXT = 200  # characters of a link's text
_URL = re.compile(r"https?://[^\s<>\"]++", re.IGNORECASE)
_AFTER_URL = ".,;:!?)]}'"  # part of the sentence rather than of the URL
# A text that looks like a host. Without a scheme, only with these endings: file names have dots.
_NAMED = re.compile(
    r"(?:https?://|www\.)[^\s/:?#]++(?:[/:?#]\S*+)?"
    r"|[\w-]++(?:\.[\w-]++)*\.(?:biz|cn|com|de|edu|eu|fr|gov|info|io|jp|net|org|uk)(?:[/:?#]\S*+)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Link:
    """One link; `claims` is the host in its text if the target has another one."""

    text: str
    target: str
    host: str
    claims: str = ""


def links_of_html(html: str) -> Iterator[Link]:
    """Yield the web links of an HTML document, in order."""
    target, shown = "", [""]
    for close, tag, rest in tokens(html):
        if tag == "a":
            yield from _link("".join(shown), target)
            target = "" if close else entities.unescape(attributes(rest).get("href", "")).strip()
            shown = []
        elif not tag and target:
            shown.append(entities.unescape(rest))
        elif tag == "img" and target:
            shown.append(entities.unescape(attributes(rest).get("alt", "")))
    yield from _link("".join(shown), target)


def links_of_text(text: str) -> Iterator[Link]:
    """Yield the parts of a plain text that most programs display as links."""
    for match in _URL.finditer(text):
        url = match[0].rstrip(_AFTER_URL)
        yield from _link(url, url)


def _link(text: str, target: str) -> Iterator[Link]:
    if not target.lower().startswith(("http://", "https://", "//")):
        return
    text = " ".join(text[: MAX_TEXT * 2].split())[:MAX_TEXT]
    host = _host(target)
    yield Link(text, target, host, _claimed(text, host))


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return host


def _claimed(text: str, host: str) -> str:
    if not _NAMED.fullmatch(text):
        return ""
    named = _host(text if "://" in text else f"//{text}")
    return "" if _is_of(named, host) or _is_of(host, named) else named


def _is_of(host: str, domain: str) -> bool:
    domain = domain.removeprefix("www.")
    return host.removeprefix("www.") == domain or host.endswith(f".{domain}")
