"""What a person decides about mail that is under way: for whom, and why."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from outbox.models import Message, Recipient, State


class ActForm(forms.Form):
    """Some recipients of one message, and a word on why; the word is kept with the event."""

    recipients = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Recipients"),
        queryset=Recipient.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one recipient.")},
    )
    why = forms.CharField(
        label=gettext_lazy("Why (kept in the timeline)"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, message: Message, offered: list[Recipient], *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # What changed since the page was shown may still be named: `api` says how it went.
        self.fields["recipients"].queryset = message.recipients.all()  # type: ignore[attr-defined]  # ModelMultipleChoiceField's
        # Nothing is sent to a cancelled recipient unless a person ticks it.
        ticked = [one.pk for one in offered if one.state != State.CANCELLED]
        self.initial.setdefault("recipients", ticked)
        self.offered = offered

    @property
    def chosen(self) -> set[int]:
        """Ids of the ticked recipients, for showing them ticked again."""
        value = self["recipients"].value() or []
        return {int(key) for key in value if str(key).isdigit()}


class WhyForm(forms.Form):
    """What concerns every recipient that still waits asks for no more than a word."""

    why = ActForm.base_fields["why"]
