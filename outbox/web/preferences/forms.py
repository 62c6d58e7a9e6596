"""The form of the preferences. An empty choice means the browser's setting or the default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import global_settings, settings
from django.utils.translation import get_language_info, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from outbox.conf import get_conf
from outbox.db import clock
from outbox.models import Preferences, Theme
from outbox.web.folders.pagination import PAGE_SIZE
from outbox.web.preferences.time_zones import zone_choices, zone_label

if TYPE_CHECKING:
    PreferencesModelForm = forms.ModelForm[Preferences]
else:
    PreferencesModelForm = forms.ModelForm  # generic in its stubs only

UNDO_CHOICES = (0, 5, 10, 20, 30, 60)  # seconds
PAGE_SIZES = (25, 50, 100, 200)
TRANSLATED = ("en", "zh-hans")  # the languages of these pages
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
            "undo_period",
            "writes_rich",
            "signature",
            "failure_digest",
            "invitation_email",
        )
        widgets: ClassVar = {"signature": forms.Textarea(attrs={"rows": 4, "class": "grows tall"})}
        help_texts: ClassVar = {
            "signature": gettext_lazy(
                "Added below your messages, unless the account has its own signature."
            ),
            "undo_period": gettext_lazy("How long you can undo sending."),
            "failure_digest": gettext_lazy(
                "When messages fail, you receive an email. It is sent with an account that works."
            ),
            "default_account": gettext_lazy("New messages are sent with this account."),
            "uses_shortcuts": gettext_lazy("Single keys such as c and /. Press ? to list them."),
        }

    def __init__(self, *args: Any, browser_zone: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        from_browser = _("Browser time zone")
        if browser_zone:
            zone = zone_label(browser_zone, clock.now())
            from_browser = _("Browser time zone: %(zone)s") % {"zone": zone}
        self._set_choices("time_zone", [("", from_browser), *zone_choices(self.instance.time_zone)])
        self._set_choices(
            "language", [("", _("Browser language")), *_languages(self.instance.language)]
        )
        self._set_choices("theme", [("", _("System theme")), *Theme.choices])
        self._set_number_choices("page_size", _page_sizes())
        self._set_number_choices("undo_period", _undo_choices())
        self.fields[
            "failure_digest"
        ].required = False  # a form without the field leaves it unchanged
        account = self.fields["default_account"]
        assert isinstance(account, forms.ModelChoiceField)
        account.queryset = self.instance.usable_accounts(self.instance.user)
        account.empty_label = _("First of your own accounts")

    def save_choices(self) -> Preferences:
        """Save the fields of the form, also if another request has just stored the first row."""
        chosen = {name: getattr(self.instance, name) for name in self._meta.fields or ()}
        return Preferences.objects.update_or_create(pk=self.instance.pk, defaults=chosen)[0]

    def _set_choices(self, name: str, choices: Choices) -> None:
        label = self.fields[name].label
        self.fields[name] = forms.ChoiceField(label=label, choices=choices, required=False)

    def _set_number_choices(self, name: str, choices: Choices) -> None:
        field = self.fields[name]
        self.fields[name] = forms.TypedChoiceField(
            label=field.label,
            help_text=field.help_text,
            choices=choices,
            coerce=int,
            empty_value=None,
            required=False,
        )


def _languages(current: str) -> Choices:
    """Return the languages of the project, or those of these pages if it configured none.

    Django's default LANGUAGES has a hundred, and these pages would be in English in most of them.
    One that was chosen before stays a choice.
    """
    if settings.LANGUAGES != global_settings.LANGUAGES:
        return list(settings.LANGUAGES)
    own = [(code, str(get_language_info(code)["name_local"])) for code in TRANSLATED]
    return own + [one for one in settings.LANGUAGES if one[0] == current not in TRANSLATED]


def _page_sizes() -> Choices:
    return [("", _("Default (%(count)d)") % {"count": PAGE_SIZE}), *((n, n) for n in PAGE_SIZES)]


def _undo_choices() -> Choices:
    default = round(get_conf().undo_period)
    label = _("Default (%(time)s)") % {"time": _seconds(default)}
    return [("", label), *((seconds, _seconds(seconds)) for seconds in UNDO_CHOICES)]


def _seconds(count: int) -> str:
    if not count:
        return _("Off")
    return ngettext("%(count)d second", "%(count)d seconds", count) % {"count": count}
