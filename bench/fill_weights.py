"""The bytes that the first load of a page transfers, as this site's own servers send them.

The page, its frame, and what it links to: styles, scripts and the modules those import, icons. What
is loaded only later, the editor, is told apart. Heads of answers are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import urldefrag, urljoin

from django.core.management import call_command
from django.test import Client

_LINKED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)="([^"]+)\"""")
_IMPORTED = re.compile(r"""(?:^|;)\s*(?:import|export)\b[^;"'(]*["'](\.[^"']+)["']""", re.MULTILINE)
_LATER = re.compile(r"""\bimport\(["'](\.[^"']+)["']\)""")
_EDITOR = re.compile(r'data-editor="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of one page; `later` is what it fetches after it can be used."""

    html: int
    rest: int
    later: int

    @property
    def first(self) -> int:
        """All of the first load."""
        return self.html + self.rest


def collect_static() -> None:
    """Put the static files, compressed ones too, where the site serves them from."""
    call_command("collectstatic", interactive=False, verbosity=0)


def weigh(client: Client, address: str) -> Weight:
    """Load a page as a browser without anything in its cache."""
    html, size = _get(client, address)
    seen: dict[str, int] = {}
    for linked in _LINKED.findall(html):
        _load(client, urljoin(address, unescape(linked)), seen)
    later = dict(seen)
    for script in [url for url in seen if ".js" in url]:
        for module in _LATER.findall(_get(client, script)[0]):
            _load(client, urljoin(script, module), later)
    for editor in _EDITOR.findall(html):
        _load(client, urljoin(address, unescape(editor)), later)
    return Weight(size, sum(seen.values()), sum(later.values()) - sum(seen.values()))


def _load(client: Client, address: str, seen: dict[str, int]) -> None:
    address = urldefrag(address).url
    if address in seen or not address.startswith("/"):
        return
    text, seen[address] = _get(client, address)
    if ".js" in address:
        for imported in _IMPORTED.findall(text):
            _load(client, urljoin(address, imported), seen)


def _get(client: Client, address: str) -> tuple[str, int]:
    """Return what is there, and how many bytes of it travel."""
    plain = _body(client, address, "identity")
    return plain.decode("utf-8", "replace"), len(_body(client, address, "gzip"))


def _body(client: Client, address: str, encoding: str) -> bytes:
    answer = client.get(address, headers={"accept-encoding": encoding})
    if answer.status_code != 200:
        raise RuntimeError(f"{address} answered {answer.status_code}")
    return b"".join(_pieces(answer)) if answer.streaming else bytes(answer.content)


def _pieces(answer: object) -> Iterator[bytes]:
    yield from answer  # type: ignore[misc]  # a streaming answer can be read
    answer.close()  # type: ignore[attr-defined]
