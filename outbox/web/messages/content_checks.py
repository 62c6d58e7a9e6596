"""The tab Checks: what other mail programs and servers may do with the message.

The checks read the source. They are information only and never prevent delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from outbox.api.sizes import format_size
from outbox.mail.client_support import CLIPPED_OVER, gaps
from outbox.mail.html import remote_content
from outbox.mail.links import Link, links_of_html, links_of_text
from outbox.mail.source import longest_line
from outbox.web.messages.content import Content

DETAILS_SHOWN = 50
LINE_RECOMMENDED, LINE_MAX = 78, 998  # characters; RFC 5322 2.1.1
COMMON_LIMIT = 10_000_000  # bytes; the default limit of Postfix

_UNSUBSCRIBE, _ONE_CLICK = "list-unsubscribe", "list-unsubscribe-post"


@dataclass(frozen=True, slots=True)
class Detail:
    """One finding of a check."""

    text: str
    target: str = ""  # where a link leads, or the programs that do not support something
    note: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result."""

    title: str | Promise
    tone: str  # good, wait (worth a look), bad, quiet
    result: str
    details: Sequence[Detail] = ()

    @property
    def icon(self) -> str:
        """Return the icon of the tone, so that color is not the only sign."""
        return {"good": "check", "quiet": "info"}.get(self.tone, "alert")

    @property
    def shown(self) -> Sequence[Detail]:
        """Return the details that are shown."""
        return self.details[:DETAILS_SHOWN]

    @property
    def hidden(self) -> int:
        """Return the number of details that are not shown."""
        return max(0, len(self.details) - DETAILS_SHOWN)


def read_checks(content: Content) -> list[Check]:
    """Return all checks of a message whose source is stored."""
    source = content.source or b""
    return [
        _size(len(source), len(content.html.encode("utf-8", "replace"))),
        _lines(*longest_line(source)),
        _parts(content.text, content.html),
        _links(content),
        _remote(content.documents),
        _support(content.html),
        _unsubscribing({field.name.lower(): field.value for field in content.headers}),
    ]


def _size(whole: int, html: int) -> Check:
    title = gettext_lazy("Size")
    if html > CLIPPED_OVER:
        text = _("The HTML is %(size)s. Gmail displays only the first %(limit)s.")
        return Check(
            title, "wait", text % {"size": format_size(html), "limit": format_size(CLIPPED_OVER)}
        )
    if whole > COMMON_LIMIT:
        text = _("The message is %(size)s. Many servers accept at most %(limit)s.")
        return Check(
            title, "wait", text % {"size": format_size(whole), "limit": format_size(COMMON_LIMIT)}
        )
    return Check(title, "good", _("The message is %(size)s.") % {"size": format_size(whole)})


def _lines(longest: int, number: int) -> Check:
    title = gettext_lazy("Line lengths")
    facts = {"longest": longest, "number": number, "most": LINE_MAX, "wanted": LINE_RECOMMENDED}
    if longest > LINE_MAX:
        text = _(
            "Line %(number)d has %(longest)d bytes. Servers may break lines of more than %(most)d"
            " bytes."
        )
        return Check(title, "bad", text % facts)
    if longest > LINE_RECOMMENDED:
        text = _("The longest line, line %(number)d, has %(longest)d bytes. Up to %(wanted)d bytes"
                 " are recommended, and up to %(most)d are allowed.")  # fmt: skip
        return Check(title, "quiet", text % facts)
    return Check(title, "good", _("No line has more than %(longest)d bytes.") % facts)


def _parts(text: str, html: str) -> Check:
    title = gettext_lazy("Plain text")
    if not html:
        return Check(
            title, "good", _("The message is plain text. Every mail program can display it.")
        )
    if text.strip():
        return Check(title, "good", _("The message has HTML and a plain-text version of it."))
    text = _("The message has HTML only. Recipients who read plain text see nothing, and spam"
             " filters penalize HTML-only messages.")  # fmt: skip
    return Check(title, "wait", text)


def _links(content: Content) -> Check:
    title = gettext_lazy("Links")
    found = list(links_of_html(content.html) if content.html else links_of_text(content.text))
    if not found:
        return Check(title, "good", _("The message has no links."))
    details = [_link(link) for link in sorted(found, key=lambda link: not link.claims)]
    if wrong := sum(bool(link.claims) for link in found):
        text = ngettext(
            "%(count)d link displays one host and leads to another. Filters treat it as phishing.",
            "%(count)d links display one host and lead to another. Filters treat them as phishing.",
            wrong,
        )
        return Check(title, "bad", text % {"count": wrong}, details)
    text = ngettext(
        "%(count)d link leads to the host that it displays.",
        "%(count)d links lead to the hosts that they display.",
        len(found),
    )
    return Check(title, "good", text % {"count": len(found)}, details)


def _link(link: Link) -> Detail:
    note = _("The text displays %(host)s.") % {"host": link.claims} if link.claims else ""
    shown = "" if link.text == link.target else link.text
    return Detail(shown or link.target, link.target if shown else "", note)


def _remote(documents: Sequence[str]) -> Check:
    title = gettext_lazy("Remote content")
    found = remote_content(documents) if documents else {}
    if not found:
        return Check(title, "good", _("The message loads nothing from other servers."))
    text = ngettext(
        "The message loads %(count)d item from other servers. Most mail programs ask first.",
        "The message loads %(count)d items from other servers. Most mail programs ask first.",
        sum(found.values()),
    )
    details = [
        Detail(host, note=f"{count}\u202f×")
        for host, count in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Check(title, "wait", text % {"count": sum(found.values())}, details)


def _support(html: str) -> Check:
    title = gettext_lazy("HTML support")
    if not html:
        return Check(title, "good", _("The message has no HTML."))
    found = gaps(html)
    if not found:
        return Check(
            title, "good", _("Every common mail program supports the HTML of the message.")
        )
    text = ngettext(
        "Some mail programs do not support %(count)d feature of the HTML:",
        "Some mail programs do not support %(count)d features of the HTML:",
        len(found),
    )
    details = [Detail(gap.feature, gap.programs, f"{gap.count}\u202f×") for gap in found]
    return Check(title, "wait", text % {"count": len(found)}, details)


def _unsubscribing(headers: dict[str, str]) -> Check:
    title = gettext_lazy("Unsubscribe")
    if _UNSUBSCRIBE not in headers:
        text = _("The message has no List-Unsubscribe header. Personal messages need none. Large"
                 " mailbox providers require one in messages to many recipients.")  # fmt: skip
        return Check(title, "quiet", text)
    ways = [way.strip(" <>\t") for way in headers[_UNSUBSCRIBE].split(",")]
    details = [Detail(way) for way in ways if way]
    is_https = any(way.lower().startswith("https:") for way in ways)
    if is_https and "one-click" in headers.get(_ONE_CLICK, "").lower():
        return Check(
            title, "good", _("Recipients can unsubscribe with one click (RFC 8058)."), details
        )
    text = _("Recipients cannot unsubscribe with one click. That requires an https address in"
             " List-Unsubscribe, and a List-Unsubscribe-Post header (RFC 8058).")  # fmt: skip
    return Check(title, "wait", text, details)
