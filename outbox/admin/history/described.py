"""The filter of a bulk operation in words, as its page shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from outbox.api.history import filters
from outbox.api.history.criteria import FOLDER, OWNER, SEARCH, SELECTED, Criteria
from outbox.models import Account, Folder, Origin, ReplyGroup, State, Status
from outbox.net.providers import PROVIDERS


def in_words(criteria: Criteria) -> str:
    """Return the filters with their values: reply code: 550, account: Newsletter."""
    if SELECTED in criteria:
        return _("selected messages")
    named = [
        f"{label}{pgettext('before a value', ': ')}{_value(name, criteria[name])}"
        for name, label in _LABELS.items()
        if name in criteria
    ]
    return pgettext("between entries", ", ").join(named) or _("all messages")


_LABELS: Mapping[str, str | Promise] = {
    SEARCH: gettext_lazy("search"),
    "state": gettext_lazy("state"),
    "code": gettext_lazy("reply code"),
    "reply": gettext_lazy("server reply"),
    "domain": gettext_lazy("domain of a recipient"),
    "since": pgettext_lazy("a day", "From"),
    "until": pgettext_lazy("a day", "To"),
    "accounts": gettext_lazy("account"),
    "tag": gettext_lazy("tag"),
    "origin": gettext_lazy("origin"),
    "provider": gettext_lazy("provider"),
    FOLDER: gettext_lazy("folder"),
    OWNER: gettext_lazy("owner"),
}


def _value(name: str, value: Any) -> str:
    describe = _DESCRIBED.get(name)
    return str(describe(value) if describe else value)


def _state(value: str) -> str | Promise:
    if value == filters.FAILURES:
        return _("with a failed recipient")
    return dict((*State.choices, *Status.choices)).get(value, value)


def _reply(value: str) -> str:
    found = ReplyGroup.objects.filter(pk=filters.reply_key(value)).first()
    return str(found or value)


def _accounts(keys: list[str]) -> str:
    ids = [int(key) for key in keys if key.isdecimal()]
    names = Account.objects.filter(pk__in=ids).order_by("name").values_list("name", flat=True)
    return pgettext("between entries", ", ").join(names) or "–"


def _owner(key: str | None) -> str:
    if key is None:
        return "–"
    users = get_user_model()._default_manager.filter(pk=key)
    return next((user.get_username() for user in users), key)


def _label_in(choices: Any) -> Callable[[str], str]:
    return lambda value: dict(choices).get(value, value)


_DESCRIBED: Mapping[str, Callable[[Any], Any]] = {
    "state": _state,
    "reply": _reply,
    "accounts": _accounts,
    "origin": _label_in(Origin.choices),
    "provider": lambda host: next((_(one.name) for one in PROVIDERS if one.host == host), host),
    FOLDER: _label_in(Folder.choices),
    OWNER: _owner,
}
