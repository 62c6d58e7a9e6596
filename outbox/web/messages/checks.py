"""What other people's programs may make of the mail, said before they complain.

Advice only: nothing here keeps a mail from leaving. The facts are read by `mail`, from the exact
bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from outbox.mail.html import remote_content
from outbox.mail.links import Link, links_of_html, links_of_text
from outbox.mail.source import longest_line
from outbox.mail.support import CLIPPED_OVER, gaps
from outbox.web.messages.content import Content
from outbox.web.wording import size

DETAILS_SHOWN = 50
WANTED_LINE, LONGEST_LINE = 78, 998  # RFC 5322 2.1.1
TAKEN_BY_MOST = 10_000_000  # bytes; what Postfix takes where nobody set another limit

_UNSUBSCRIBE, _ONE_CLICK = "list-unsubscribe", "list-unsubscribe-post"


@dataclass(frozen=True, slots=True)
class Detail:
    """One finding: what was found, what belongs to it, and what to think of it."""

    what: str
    of: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of the mail, and the answer."""

    title: str | Promise
    tone: str  # good, wait (worth a look), bad, quiet
    answer: str
    details: Sequence[Detail] = ()

    @property
    def icon(self) -> str:
        """Name the sign of its tone, so that it is never told by colour alone."""
        return {"good": "check", "quiet": "info"}.get(self.tone, "alert")

    @property
    def shown(self) -> Sequence[Detail]:
        """The first of many details."""
        return self.details[:DETAILS_SHOWN]

    @property
    def hidden(self) -> int:
        """How many more there are."""
        return max(0, len(self.details) - DETAILS_SHOWN)


def read_checks(content: Content) -> list[Check]:
    """Ask everything of a mail whose source is there."""
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
        text = _("The HTML has %(size)s; Gmail shows the first %(limit)s of it only.")
        return Check(title, "wait", text % {"size": size(html), "limit": size(CLIPPED_OVER)})
    if whole > TAKEN_BY_MOST:
        text = _("%(size)s on the wire; many servers take no more than %(limit)s.")
        return Check(title, "wait", text % {"size": size(whole), "limit": size(TAKEN_BY_MOST)})
    return Check(title, "good", _("%(size)s on the wire.") % {"size": size(whole)})


def _lines(longest: int, number: int) -> Check:
    title = gettext_lazy("Line lengths")
    facts = {"longest": longest, "number": number, "most": LONGEST_LINE, "wanted": WANTED_LINE}
    if longest > LONGEST_LINE:
        text = _(
            "Line %(number)d has %(longest)d bytes; servers may break it: %(most)d is the most."
        )
        return Check(title, "bad", text % facts)
    if longest > WANTED_LINE:
        text = _("The longest, line %(number)d, has %(longest)d bytes: more than the %(wanted)d"
                 " that are asked for, less than the %(most)d that are allowed.")  # fmt: skip
        return Check(title, "quiet", text % facts)
    return Check(title, "good", _("No line has more than %(longest)d bytes.") % facts)


def _parts(text: str, html: str) -> Check:
    title = gettext_lazy("Text part")
    if not html:
        return Check(title, "good", _("It is plain text, which every program shows."))
    if text.strip():
        return Check(title, "good", _("There is one beside the HTML, for who reads plain text."))
    text = _("There is only HTML. Who reads plain text sees nothing, and filters for junk mail"
             " think the worse of it.")  # fmt: skip
    return Check(title, "wait", text)


def _links(content: Content) -> Check:
    title = gettext_lazy("Links")
    found = list(links_of_html(content.html) if content.html else links_of_text(content.text))
    if not found:
        return Check(title, "good", _("There are none."))
    details = [_link(link) for link in sorted(found, key=lambda link: not link.claims)]
    if wrong := sum(bool(link.claims) for link in found):
        text = ngettext(
            "%(count)d link names another host than it leads to, as fraud does.",
            "%(count)d links name another host than they lead to, as fraud does.",
            wrong,
        )
        return Check(title, "bad", text % {"count": wrong}, details)
    text = ngettext(
        "%(count)d link; it leads where its text says.",
        "%(count)d links; none names another host than it leads to.",
        len(found),
    )
    return Check(title, "good", text % {"count": len(found)}, details)


def _link(link: Link) -> Detail:
    note = _("The text names %(host)s.") % {"host": link.claims} if link.claims else ""
    shown = "" if link.text == link.target else link.text
    return Detail(shown or link.target, link.target if shown else "", note)


def _remote(documents: Sequence[str]) -> Check:
    title = gettext_lazy("Remote content")
    found = remote_content(documents) if documents else {}
    if not found:
        return Check(title, "good", _("It fetches nothing when it is opened."))
    text = ngettext(
        "When it is opened it fetches %(count)d thing; most programs ask before that.",
        "When it is opened it fetches %(count)d things; most programs ask before that.",
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
        return Check(title, "good", _("It has no HTML."))
    found = gaps(html)
    if not found:
        return Check(title, "good", _("Every widely used program shows what it uses."))
    text = ngettext(
        "It uses %(count)d thing that some programs leave out; they are named beside it.",
        "It uses %(count)d things that some programs leave out; they are named beside each.",
        len(found),
    )
    details = [Detail(gap.feature, gap.programs, f"{gap.count}\u202f×") for gap in found]
    return Check(title, "wait", text % {"count": len(found)}, details)


def _unsubscribing(headers: dict[str, str]) -> Check:
    title = gettext_lazy("Unsubscribing")
    if _UNSUBSCRIBE not in headers:
        text = _("It has no List-Unsubscribe header. Letters between people need none; large"
                 " mailbox providers ask for one in mail to many.")  # fmt: skip
        return Check(title, "quiet", text)
    ways = [way.strip(" <>\t") for way in headers[_UNSUBSCRIBE].split(",")]
    details = [Detail(way) for way in ways if way]
    is_https = any(way.lower().startswith("https:") for way in ways)
    if is_https and "one-click" in headers.get(_ONE_CLICK, "").lower():
        return Check(title, "good", _("One click is enough (RFC 8058)."), details)
    text = _("A List-Unsubscribe header is there, but not for one click: that takes an https"
             " address and List-Unsubscribe-Post (RFC 8058).")  # fmt: skip
    return Check(title, "wait", text, details)
