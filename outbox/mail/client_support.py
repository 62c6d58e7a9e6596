"""Features of a message's HTML that the large email clients do not support.

A short table, maintained by hand from caniemail.com as of November 2026. It lists what many
recipients will not see, not the behavior of every version.
"""

import html as entities
import re
from collections import Counter
from dataclasses import dataclass

from outbox.mail.markup import MAX_HTML, attributes, tokens

CLIPPED_OVER = 102_000  # bytes of HTML after which Gmail clips a message

_EVERYWHERE = "Gmail, Outlook, Yahoo, Apple Mail"
_WEB = "Gmail, Outlook, Yahoo"
_CLASSIC = "Outlook for Windows"


@dataclass(frozen=True, slots=True)
class Gap:
    """A feature, how often it is used, and the clients that do not support it."""

    feature: str
    programs: str
    count: int


# Comments may contain HTML for Outlook alone, which other clients ignore.
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"<([a-z][a-z0-9]*)", re.IGNORECASE)
_STYLE = re.compile(r"<style\b[^>]{0,200}+>(.*?)(?:</style|\Z)", re.IGNORECASE | re.DOTALL)

TAGS = {
    "script": _EVERYWHERE,
    "iframe": _EVERYWHERE,
    "embed": _EVERYWHERE,
    "object": _WEB,
    "video": _WEB,
    "audio": _WEB,
    "svg": _WEB,
    "picture": _WEB,
    "link": "Gmail, Outlook on the web, Yahoo, Thunderbird",
    "form": _CLASSIC,
}
STYLES = {
    "position": (re.compile(r"(?<![\w-])position\s*:\s*(?!static)\w"), "Gmail, Outlook"),
    "animation": (re.compile(r"(?<![\w-])animation(?:-name)?\s*:|@keyframes\b"), _WEB),
    "transform": (re.compile(r"(?<![\w-])transform\s*:"), _WEB),
    "var()": (re.compile(r"\bvar\(\s*--"), _WEB),
    "@font-face": (re.compile(r"@font-face\b"), _WEB),
    "@import": (re.compile(r"@import\b"), "Gmail, Outlook on the web, Yahoo, Thunderbird"),
    "text-shadow": (re.compile(r"(?<![\w-])text-shadow\s*:"), "Gmail, Outlook"),
    "box-shadow": (re.compile(r"(?<![\w-])box-shadow\s*:"), f"Gmail, {_CLASSIC}"),
    "calc()": (re.compile(r"\bcalc\("), "Outlook"),
    "display: flex": (re.compile(r"(?<![\w-])display\s*:\s*(?:inline-)?flex\b"), _CLASSIC),
    "display: grid": (re.compile(r"(?<![\w-])display\s*:\s*(?:inline-)?grid\b"), _CLASSIC),
    "float": (re.compile(r"(?<![\w-])float\s*:\s*(?!none)\w"), _CLASSIC),
    "background-image": (
        re.compile(r"(?<![\w-])background(?:-image)?\s*:[^;}]{0,200}\burl\("),
        _CLASSIC,
    ),
    "border-radius": (re.compile(r"(?<![\w-])border-(?:[a-z]+-[a-z]+-)?radius\s*:"), _CLASSIC),
    "opacity": (re.compile(r"(?<![\w-])opacity\s*:"), _CLASSIC),
    "@media": (re.compile(r"@media\b"), f"{_CLASSIC}, Thunderbird"),
}
PICTURES = {
    "data: picture": (re.compile(r"data:", re.IGNORECASE), f"Gmail, {_CLASSIC}"),
    "SVG picture": (re.compile(r"^[^?#]*\.svg(?:$|[?#])", re.IGNORECASE), "Gmail"),
    "WebP picture": (re.compile(r"^[^?#]*\.webp(?:$|[?#])", re.IGNORECASE), _CLASSIC),
}


def gaps(html: str) -> list[Gap]:
    """Return the unsupported features that the HTML uses, the least supported first."""
    html = _COMMENT.sub("", html[:MAX_HTML])
    used = Counter(match[1].lower() for match in _TAG.finditer(html))
    found = [Gap(f"<{tag}>", programs, used[tag]) for tag, programs in TAGS.items()]
    styles, pictures = _styles_and_pictures(html)
    found += [
        Gap(name, programs, len(pattern.findall(styles)))
        for name, (pattern, programs) in STYLES.items()
    ]
    found += [
        Gap(name, programs, sum(bool(pattern.match(one)) for one in pictures))
        for name, (pattern, programs) in PICTURES.items()
    ]
    return sorted((gap for gap in found if gap.count), key=lambda gap: -len(gap.programs))


def _styles_and_pictures(html: str) -> tuple[str, list[str]]:
    """Return all CSS in one text, and the URLs of the pictures."""
    styles = [match[1] for match in _STYLE.finditer(html)]
    pictures = []
    for _close, tag, rest in tokens(html):
        if not tag:
            continue
        values = attributes(rest)
        styles.append(entities.unescape(values.get("style", "")))
        if tag == "img":
            pictures.append(entities.unescape(values.get("src", "")).strip())
    return ";".join(styles).lower(), pictures
