"""Preferences as a person chooses them; what is left open is the browser's, or the site's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from outbox.conf import get_conf
from outbox.models import Preferences
from outbox.web.person import known_zones

if TYPE_CHECKING:
    PreferencesModelForm = forms.ModelForm[Preferences]
else:
    PreferencesModelForm = forms.ModelForm  # generic in its stubs only

UNDO_CHOICES = (0, 5, 10, 20, 30, 60)  # seconds
_REGIONS = (
    "Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian",
    "Pacific",
)  # fmt: skip


class PreferencesForm(PreferencesModelForm):
    """Time zone, language, signature, undo, formatting."""

    class Meta:
        model = Preferences
        fields = ("language", "time_zone", "undo_for", "writes_rich", "signature")
        widgets: ClassVar = {"signature": forms.Textarea(attrs={"rows": 4, "class": "grows tall"})}
        help_texts: ClassVar = {
            "signature": gettext_lazy(
                "Put below what you write, unless the account has a signature of its own."
            ),
            "undo_for": gettext_lazy("How long a mail waits after Send, so that you can stop it."),
        }

    def __init__(self, *args: Any, browser_zone: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        by_browser = _("as the browser says")
        if browser_zone:
            by_browser = _("as the browser says: %(zone)s") % {"zone": browser_zone}
        self.fields["time_zone"] = forms.ChoiceField(
            label=self.fields["time_zone"].label,
            choices=[("", by_browser), *_zones()],
            required=False,
        )
        self.fields["language"] = forms.ChoiceField(
            label=self.fields["language"].label,
            choices=[("", _("as the browser asks")), *settings.LANGUAGES],
            required=False,
        )
        self.fields["undo_for"] = forms.TypedChoiceField(
            label=self.fields["undo_for"].label,
            help_text=self.fields["undo_for"].help_text,
            choices=_undo_choices(),
            coerce=int,
            empty_value=None,
            required=False,
        )


def _zones() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the zones that people live in, by region."""
    places: dict[str, list[tuple[str, str]]] = {region: [] for region in _REGIONS}
    for name in sorted(known_zones()):
        region, _slash, place = name.partition("/")
        if region in places:
            places[region].append((name, place.replace("_", " ")))
    return [*places.items(), ("UTC", [("UTC", "UTC")])]


def _undo_choices() -> list[tuple[int | str, str]]:
    usual = round(get_conf().undo_for)
    choices: list[tuple[int | str, str]] = [
        ("", _("as usual here: %(time)s") % {"time": _seconds(usual)})
    ]
    return choices + [(seconds, _seconds(seconds)) for seconds in UNDO_CHOICES]


def _seconds(count: int) -> str:
    if not count:
        return _("not at all")
    return ngettext("%(count)d second", "%(count)d seconds", count) % {"count": count}
