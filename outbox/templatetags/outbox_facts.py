"""Facts in templates: states, moments, sizes, replies. The wording is `web.wording`'s."""

import datetime as dt
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from outbox.api.phrases import translate
from outbox.api.reasons import reason_of
from outbox.api.times import format_clock, format_full, format_relative
from outbox.models import Recipient
from outbox.templatetags.outbox_icons import icon
from outbox.web import wording
from outbox.web.wording import COMMANDS

register = template.Library()

register.filter("inert", wording.inert)
register.filter("size", wording.size)
register.filter("duration", wording.duration)


@register.filter
def told(sentence: object) -> str:
    """Put what a worker or code below Django wrote in the reader's language."""
    return translate(str(sentence))


@register.filter
def reason(recipient: Recipient) -> str:
    """Return why the recipient is in its state: the reply's code and first words."""
    return reason_of(recipient)


@register.simple_tag
def chip(state: str) -> SafeString:
    """Show a state: sign and word, in its tone."""
    sign = wording.SIGNS[state]
    return format_html(
        '<span class="chip {}">{}{}</span>', sign.tone, icon(sign.icon), wording.LABELS[state]
    )


@register.filter
def tone(state: str) -> str:
    """Return the CSS class of the state's tone."""
    return wording.SIGNS[state].tone


@register.filter
def word(state: str) -> str:
    """Return the state's name."""
    return str(wording.LABELS[state])


@register.filter
def phase_name(phase: str) -> str:
    """Put a phase of a conversation in words."""
    return str(wording.PHASES.get(phase, phase))


@register.filter
def priority_name(priority: int) -> str:
    """Put an X-Priority in a word."""
    return str(wording.PRIORITIES.get(priority, priority))


@register.simple_tag
def address(spec: str) -> SafeString:
    """Show an address; where it has to be broken, it breaks before its domain."""
    local, at, domain = wording.inert(spec).rpartition("@")
    return format_html('<bdi class="address">{}<wbr>{}{}</bdi>', local, at, domain)


@register.filter
def command_name(command: str) -> str:
    """Put the command a reply answered in words: DOT is no command one types."""
    return str(COMMANDS.get(command, command))


@register.filter
def since(ms: float, began: float | str) -> str:
    """Put an offset in a dialogue, counted from where its stretch began."""
    return wording.offset(ms - float(began or 0))


@register.simple_tag
def moment(when: dt.datetime | None) -> SafeString | str:
    """Show a moment relative to now; the title has it in full."""
    if when is None:
        return ""
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        when.isoformat(),
        format_full(when),
        format_relative(when),
    )


@register.simple_tag
def clock(when: dt.datetime | None, form: str = "") -> SafeString | str:
    """Show the time, with the date unless it is today; the title has it in full.

    The form "seconds" adds them; "full" shows date, seconds and offset.
    """
    if when is None:
        return ""
    full = format_full(when)
    if form == "full":
        return format_html('<time datetime="{}">{}</time>', when.isoformat(), full)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        when.isoformat(),
        full,
        format_clock(when, seconds=form == "seconds"),
    )


@register.simple_tag
def copy(text: object, what: str) -> SafeString:
    """Offer to copy a text as it is shown, beside it; `what` names it for who cannot see it."""
    label = _("Copy %(what)s") % {"what": wording.inert(what)}
    return format_html(
        '<button type="button" class="copy" data-copy="{}" aria-label="{}" title="{}"></button>',
        wording.inert(str(text)),
        label,
        label,
    )


@register.inclusion_tag("outbox/_reply.html")
def reply(row: Any, offer: str = "") -> dict[str, object]:
    """Show a server's reply word for word; `row` is a recipient or an attempt.

    With "copy" it can be copied.
    """
    return {
        "said": f"{row.reply_code} {row.reply_text}",
        "wants_copy": offer == "copy",
        "code": row.reply_code,
        "enhanced": row.reply_enhanced,
        "text": row.reply_text,
        "command": getattr(row, "reply_command", ""),
    }
