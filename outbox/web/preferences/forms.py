"""Preferences as a person chooses them; what is left open is the browser's, or the site's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from outbox.conf import get_conf
from outbox.models import Account, Preferences, Theme
from outbox.web.messages.paging import PAGE_SIZE
from outbox.web.preferences.zones import zone_choices

if TYPE_CHECKING:
    PreferencesModelForm = forms.ModelForm[Preferences]
else:
    PreferencesModelForm = forms.ModelForm  # generic in its stubs only

UNDO_CHOICES = (0, 5, 10, 20, 30, 60)  # seconds
PAGE_SIZES = (25, 50, 100, 200)
Choices = list[tuple[Any, Any]]


class PreferencesForm(PreferencesModelForm):
    """Language, time zone, theme, lists, shortcuts, account, signature, undo, notification."""

    class Meta:
        model = Preferences
        fields = (
            "language",
            "time_zone",
            "theme",
            "page_size",
            "uses_shortcuts",
            "default_account",
            "undo_for",
            "writes_rich",
            "signature",
            "failure_digest",
        )
        widgets: ClassVar = {"signature": forms.Textarea(attrs={"rows": 4, "class": "grows tall"})}
        help_texts: ClassVar = {
            "signature": gettext_lazy(
                "Put below what you write, unless the account has a signature of its own."
            ),
            "undo_for": gettext_lazy("How long a message can be stopped after Send."),
            "failure_digest": gettext_lazy(
                "Sent to you when messages fail, through an account that works."
            ),
            "default_account": gettext_lazy("Selected in new messages."),
            "uses_shortcuts": gettext_lazy("Single keys such as c and /. Press ? for the list."),
        }

    def __init__(self, *args: Any, browser_zone: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        by_browser = _("Browser time zone")
        if browser_zone:
            by_browser = _("Browser time zone (%(zone)s)") % {"zone": browser_zone}
        self._offer("time_zone", [("", by_browser), *zone_choices(self.instance.time_zone)])
        self._offer("language", [("", _("Browser language")), *settings.LANGUAGES])
        self._offer("theme", [("", _("System theme")), *Theme.choices])
        self._offer_numbers("page_size", _page_sizes())
        self._offer_numbers("undo_for", _undo_choices())
        self.fields["failure_digest"].required = False  # a form without it changes nothing
        account = self.fields["default_account"]
        assert isinstance(account, forms.ModelChoiceField)
        account.queryset = Account.objects.usable_by(self.instance.user)
        account.empty_label = _("First by name")

    def _offer(self, name: str, choices: Choices) -> None:
        label = self.fields[name].label
        self.fields[name] = forms.ChoiceField(label=label, choices=choices, required=False)

    def _offer_numbers(self, name: str, choices: Choices) -> None:
        shown = self.fields[name]
        self.fields[name] = forms.TypedChoiceField(
            label=shown.label,
            help_text=shown.help_text,
            choices=choices,
            coerce=int,
            empty_value=None,
            required=False,
        )


def _page_sizes() -> Choices:
    return [("", _("Default (%(count)d)") % {"count": PAGE_SIZE}), *((n, n) for n in PAGE_SIZES)]


def _undo_choices() -> Choices:
    usual = round(get_conf().undo_for)
    default = _("Default (%(time)s)") % {"time": _seconds(usual)}
    return [("", default), *((seconds, _seconds(seconds)) for seconds in UNDO_CHOICES)]


def _seconds(count: int) -> str:
    if not count:
        return _("Off")
    return ngettext("%(count)d second", "%(count)d seconds", count) % {"count": count}
