"""The bytes that the first load of a page transfers, as the servers of the site send them.

They consist of the page, its frame, and what it links to: styles, scripts with the modules that
they import, and icons. The editor, which is loaded later, is counted separately. Response headers
are not counted.
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
    """The bytes of one page; `later` counts what it loads after it can be used."""

    html: int
    rest: int
    later: int

    @property
    def first(self) -> int:
        """Return the bytes of the first load."""
        return self.html + self.rest


def collect_static() -> None:
    """Collect the static files, including compressed ones, for the site to serve."""
    call_command("collectstatic", interactive=False, verbosity=0)


def weigh(client: Client, address: str) -> Weight:
    """Load a page as a browser with an empty cache."""
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
    """Return the text at the address, and its compressed size."""
    plain = _body(client, address, "identity")
    return plain.decode("utf-8", "replace"), len(_body(client, address, "gzip"))


def _body(client: Client, address: str, encoding: str) -> bytes:
    response = client.get(address, headers={"accept-encoding": encoding})
    if response.status_code != 200:
        raise RuntimeError(f"{address} returned {response.status_code}")
    return b"".join(_pieces(response)) if response.streaming else bytes(response.content)


def _pieces(response: object) -> Iterator[bytes]:
    yield from response  # type: ignore[misc]  # a streaming response can be read
    response.close()  # type: ignore[attr-defined]
