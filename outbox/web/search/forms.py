"""The form of a search, which needs no operators."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.models import Folder, InboundFolder
from outbox.web.display import LABELS
from outbox.web.search.query import STATES, TEXT_MAX, UNREAD, Query, read_query

_TEXTS = ("words", "to", "sender", "subject", "body")


def _text(label: Any, **attrs: str) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "off", **attrs})
    return forms.CharField(label=label, required=False, max_length=TEXT_MAX, widget=widget)


def _day(label: Any) -> forms.DateField:
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    return forms.DateField(label=label, required=False, widget=widget)


class SearchForm(forms.Form):
    """Everything that the search line supports, except tags and the roles of recipients."""

    words = _text(gettext_lazy("Anywhere"))
    to = _text(pgettext_lazy("search", "Recipient"), placeholder="jane@example.com")
    sender = _text(pgettext_lazy("search", "Sender"))
    subject = _text(gettext_lazy("Subject"))
    body = _text(gettext_lazy("Text"))
    code = _text(gettext_lazy("Reply code"), placeholder="550, 5.1")
    message_id = _text("Message-ID")
    state = forms.ChoiceField(
        label=gettext_lazy("State"),
        required=False,
        choices=[
            ("", gettext_lazy("any")),
            *((state, LABELS[state]) for state in STATES),
            (UNREAD, gettext_lazy("unread")),
        ],
    )
    folder = forms.ChoiceField(
        label=gettext_lazy("Folder"),
        required=False,
        choices=[("", gettext_lazy("all folders")), *Folder.choices, *InboundFolder.choices],
    )
    after = _day(gettext_lazy("Sent on or after"))
    before = _day(gettext_lazy("Sent before"))
    has_files = forms.BooleanField(label=gettext_lazy("With attachments"), required=False)

    @classmethod
    def showing(cls, query: Query) -> "SearchForm":
        """Return the form filled with a query."""
        initial = {name: getattr(query, name) for name in cls.base_fields}
        initial |= {name: _join(getattr(query, name)) for name in _TEXTS}
        return cls(initial=initial)

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        _query, wrong = read_query(f'code:"{code}"') if code else (None, [])
        if wrong:
            raise forms.ValidationError(wrong)
        return code

    def as_query(self, shown: Query) -> Query:
        """Return the query of the form; tags and roles are those of the query shown beside it."""
        data = self.cleaned_data
        texts = {name: _split(data[name]) for name in _TEXTS}
        message_id = data["message_id"].strip("<> ")
        return Query(
            **(data | texts | {"message_id": message_id}), tag=shown.tag, cc=shown.cc, bcc=shown.bcc
        )


def _join(texts: tuple[str, ...]) -> str:
    return str(Query(words=texts))


def _split(text: str) -> tuple[str, ...]:
    """Split the text into words and quoted phrases, without operators."""
    return tuple(piece for piece in _pieces(text) if piece)


def _pieces(text: str) -> list[str]:
    outside, *rest = text.split('"')
    pieces = outside.split()
    for number, part in enumerate(rest):
        pieces += [part.strip()] if number % 2 == 0 else part.split()
    return pieces
