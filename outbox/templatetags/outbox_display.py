"""Values in templates: states, times, sizes, replies. See `web.display`."""

import datetime as dt
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox.api.bulk_actions import count_in_state
from outbox.api.reasons import in_words, reason_of, remedy_in_words
from outbox.api.sizes import format_size
from outbox.api.times import format_clock, format_full, format_relative
from outbox.mail.server_replies import Effect
from outbox.models import Importance, InboundKind, Recipient
from outbox.templatetags.outbox_icons import icon
from outbox.texts import Translatable
from outbox.web import display

register = template.Library()

register.filter("inert", display.inert)
register.filter("size", format_size)
register.filter("duration", display.duration)


@register.filter(name="in_words")
def words_of(text: Translatable) -> str:
    """Return a stored reason in the reader's language."""
    return in_words(text)


@register.filter
def reason(recipient: Recipient) -> str:
    """Return why the recipient is in its state: the reply's code and first words."""
    return reason_of(recipient)


@register.simple_tag
def chip(state: str) -> SafeString:
    """Render a state with its icon and label."""
    sign = display.SIGNS[state]
    return format_html(
        '<span class="chip {}">{}{}</span>', sign.tone, icon(sign.icon), display.CHIPS[state]
    )


@register.simple_tag
def kind_chip(kind: str) -> SafeString:
    """Render the kind of a received message with its icon."""
    sign = display.KIND_SIGNS[kind]
    return format_html(
        '<span class="chip {}">{}{}</span>', sign.tone, icon(sign.icon), InboundKind(kind).label
    )


@register.filter
def tone(state: str) -> str:
    """Return the CSS class of the state's tone."""
    return display.SIGNS[state].tone


@register.filter
def word(state: str) -> str:
    """Return the state's name."""
    return str(display.LABELS[state])


@register.simple_tag
def count_of(count: int, state: str) -> str:
    """Return a number of recipients with their state: 3 sent."""
    return count_in_state(count, str(display.LABELS[state]))


@register.filter
def phase_name(phase: str) -> str:
    """Return the name of a phase of a conversation."""
    return str(display.PHASES.get(phase, phase))


_EFFECTS = {
    Effect.HARD.value: gettext_lazy("hard bounce"),
    Effect.SOFT.value: gettext_lazy("soft bounce"),
    Effect.INFRASTRUCTURE.value: gettext_lazy("caused by our infrastructure"),
}


@register.filter
def effect_name(effect: str) -> str:
    """Return what a bounce means for its recipient, in words."""
    return str(_EFFECTS.get(effect, effect))


@register.filter
def importance_name(importance: str) -> str:
    """Return the name of an importance."""
    return str(Importance(importance).label)


@register.simple_tag
def address(spec: str) -> SafeString:
    """Render an address that breaks before its domain."""
    local, at, domain = display.inert(spec).rpartition("@")
    return format_html('<bdi class="address">{}<wbr>{}{}</bdi>', local, at, domain)


@register.filter
def command_name(command: str) -> str:
    """Return the name of the command to which the server replied."""
    return str(display.COMMANDS.get(command, command))


@register.filter
def since(ms: float, began: float | str) -> str:
    """Return the time of a line since the beginning of its section."""
    return display.offset(ms - float(began or 0))


@register.simple_tag
def moment(when: dt.datetime | None, *, is_planned: bool = False) -> SafeString | str:
    """Render a time relative to now, with the full time as its title.

    A planned time never reads as past: the next attempt is "now", not "3 seconds ago".
    """
    if when is None:
        return ""
    return format_html(
        '<time datetime="{}" title="{}" data-relative{}>{}</time>',
        when.isoformat(),
        format_full(when),
        SafeString('="planned"') if is_planned else "",
        format_relative(when, is_planned=is_planned),
    )


@register.simple_tag
def clock(when: dt.datetime | None, form: str = "") -> SafeString | str:
    """Render a time, with the date unless it is today, and the full time as its title.

    The form "seconds" adds seconds; "full" shows date, seconds and offset.
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
    """Render a button that copies a text. `what` names the text for screen readers."""
    label = _("Copy %(what)s") % {"what": display.inert(what)}
    return format_html(
        '<button type="button" class="copy" data-copy="{}" aria-label="{}" title="{}"></button>',
        display.inert(str(text)),
        label,
        label,
    )


@register.simple_tag
def remedy(row: Any) -> str:
    """Return what a recipient's reply of a large provider means, with the remedy; or ""."""
    return remedy_in_words(row.reply_code, row.reply_enhanced, row.reply_text)


@register.simple_tag
def group_remedy(group: Any) -> str:
    """Return what the reply of a group of failures means, with the remedy; or ""."""
    return remedy_in_words(group.code, group.enhanced, group.text)


@register.inclusion_tag("outbox/_reply.html")
def reply(row: Any, button: str = "") -> dict[str, object]:
    """Render the server reply of a recipient or an attempt; "copy" adds a button to copy it."""
    return {
        "copied": f"{row.reply_code} {row.reply_text}",
        "wants_copy": button == "copy",
        "code": row.reply_code,
        "enhanced": row.reply_enhanced,
        "text": row.reply_text,
        "command": getattr(row, "reply_command", ""),
    }
