"""Forms of the actions on a message: the recipients, and the reason."""

from collections.abc import Container
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from outbox.models import Message, Recipient, State
from outbox.web.parameters import integer


class ReasonForm(forms.Form):
    """The reason, which is recorded with the event. Staff give one for messages of others."""

    why = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Optional. The timeline of the message shows it."),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, is_required: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if is_required:
            why = self.fields["why"]
            why.required = True
            why.help_text = gettext_lazy("The timeline of the message shows it to its owner.")


class RecipientsForm(ReasonForm):
    """Some recipients of one message, and the reason."""

    recipients = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Recipients"),
        queryset=Recipient.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one recipient.")},
    )

    def __init__(
        self,
        message: Message,
        offered: list[Recipient],
        by_name: Container[str],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # A recipient that has changed state since the page was shown is valid: the API skips it.
        self.fields["recipients"].queryset = message.recipients.all()  # type: ignore[attr-defined]  # ModelMultipleChoiceField's
        self.offered = offered
        # Nothing is sent to some recipients beside the others unless the user selects them.
        selected = [one for one in offered if one.state not in by_name]
        self.offers_by_name = 0 < len(selected) < len(offered)
        self.offers_uncertain = any(one.state == State.UNCERTAIN for one in offered)
        self.initial.setdefault("recipients", [one.pk for one in selected or offered])

    @property
    def chosen(self) -> set[int]:
        """Return the ids of the selected recipients, to show them selected again."""
        value = self["recipients"].value() or []
        return {number for key in value if (number := integer(str(key))) is not None}
