"""Options: what a caller may choose besides the recipients and the content.

`send` and `send_many` take them as keyword arguments, a Django message as its attribute `outbox`,
and `Outgoing` has most of them as fields. All three are read here.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypedDict, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model
from django.utils.functional import Promise

from outbox.api.limits import check_length
from outbox.api.values import (
    read_choice,
    read_duration,
    read_flag,
    read_json,
    read_line,
    read_list,
    read_moment,
    read_tag,
    read_text,
    wrong_type,
)
from outbox.conf import get_conf
from outbox.db import clock
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import AddressError, parse_address
from outbox.mail.envelope import ENVID_MAX, is_envid
from outbox.mail.header_writer import is_message_id
from outbox.models import Importance, Notify, OnUncertain, Ret

KEY_MAX = 255
_NAME_MAX = 200
_ID_MAX = 255  # of a related object's key
_IDS_MAX = 1_000  # references of one message
_BLANKS = re.compile(r"\s+")


class Priority(StrEnum):
    """Which messages of the queue are delivered first. Recipients do not see it."""

    URGENT = "urgent"  # before all other messages, such as a password reset
    NORMAL = "normal"
    BULK = "bulk"  # after all other messages, such as a newsletter


class SendOptions(TypedDict, total=False):
    """The options of a message; each is optional."""

    from_name: str | None  # the sender's name that recipients see; None: the account's
    envelope_sender: str | None  # the address for bounces, "" for none; None: the account's
    owner: AbstractBaseUser | None  # the user who sees the message in their folders; None: no user
    importance: str  # what the recipient's program displays: high, normal or low
    priority: str  # what it may overtake in the queue, a `Priority`; "": follows importance
    send_at: dt.datetime | None  # earliest time of delivery; aware
    expires_after: dt.timedelta | None  # how long it may wait from then on
    expires_at: dt.datetime | None  # instead: when delivery is no longer useful; aware
    idempotency_key: str | None  # a repeated key returns the message that was queued first
    tags: Sequence[str]  # stored with the message for your own use
    metadata: Mapping[str, Any]  # any JSON, stored with the message for your own use
    related: Model | None  # the object that the message is about, of any model
    on_uncertain: str  # an `OnUncertain`; "": the account's policy
    in_reply_to: str | None  # the Message-ID of the message to reply to
    references: Sequence[str] | str | None  # the Message-IDs of its thread, oldest first
    require_tls: bool  # send only over verified TLS, to servers that do the same (RFC 8689)
    wants_report: bool  # request delivery reports (DSN): of success, failure and delay
    notify: Sequence[str] | str  # instead: some of success, failure and delay, or never
    ret: str  # what the report of a failure returns: full, or hdrs, the header (the default)
    envid: str  # your own envelope id, which the reports repeat
    sensitive: bool  # no page shows the content, and it is erased when delivery ends
    unsubscribe: bool | str  # add a link to unsubscribe (RFC 8058), for all messages or a tag
    auto_submitted: bool  # ask programs for no automatic reply (RFC 3834)


def read_options(given: Mapping[str, Any]) -> SendOptions:
    """Return the options that were given, checked; None means not given.

    Raises InvalidMessageError, for an unknown name too.
    """
    options: dict[str, Any] = {}
    for name, value in given.items():
        reader = _READERS.get(name)
        if reader is None:
            raise InvalidMessageError("options", f"There is no option {str(name)[:60]!r}.")
        if value is not None:
            options[name] = reader(name, value)
    _check_times(options)
    if options.get("wants_report") and options.get("notify") == (Notify.NEVER.value,):
        raise InvalidMessageError("notify", "Give wants_report or notify=never, not both.")
    if isinstance(tag := options.get("unsubscribe"), str) and tag not in options.get("tags", ()):
        options["tags"] = [*options.get("tags", ()), tag]  # what an entry for the tag holds
    return cast("SendOptions", options)


def check_names(function: str, given: Mapping[str, Any]) -> None:
    """Raise TypeError for an unknown keyword argument, as Python itself does."""
    for name in given:
        if name not in _READERS:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def _check_times(options: Mapping[str, Any]) -> None:
    expires_at = options.get("expires_at")
    if expires_at is None:
        return
    if "expires_after" in options:
        raise InvalidMessageError("expires_after", "Give expires_at or expires_after, not both.")
    if expires_at <= (options.get("send_at") or clock.now()):
        raise InvalidMessageError("expires_at", "It would expire before it may leave.")


def _from_name(field: str, value: object) -> str:
    return read_line(field, value, longest=_NAME_MAX)


def _envelope_sender(field: str, value: object) -> str:
    text = read_line(field, value)
    try:
        return parse_address(text).spec if text else ""
    except AddressError as error:
        raise InvalidMessageError(field, f"{field}: {error}") from error


def _owner(field: str, value: object) -> AbstractBaseUser:
    if not isinstance(value, get_user_model()) or value.pk is None:
        raise wrong_type(field, "a saved user", value)
    return value


def _importance(field: str, value: object) -> str:
    return read_choice(field, value, Importance.values) or Importance.NORMAL.value


def _priority(field: str, value: object) -> str:
    if isinstance(value, int):
        problem = f"{field} must be urgent, normal or bulk; for the header X-Priority, use "
        raise InvalidMessageError(field, f"{problem}importance (high, normal or low).")
    return read_choice(field, value, Priority)


def _on_uncertain(field: str, value: object) -> str:
    return read_choice(field, value, OnUncertain.values)


def _idempotency_key(field: str, value: object) -> str:
    key = read_text(field, value)
    if not 0 < len(key) <= KEY_MAX:
        raise InvalidMessageError(field, f"An idempotency key has 1 to {KEY_MAX} characters.")
    return key


def _tags(field: str, value: object) -> list[str]:
    most = get_conf().max_metadata
    tags = [_tag(field, tag) for tag in read_list(field, value, of="strings", most=most)]
    check_length(field, sum(map(len, tags)) + len(tags), most)
    return tags if isinstance(value, list | tuple) else sorted(tags)  # a set has no order


def _tag(field: str, value: object) -> str:
    if value is None:
        raise wrong_type(field, "a list of strings", value)
    return read_text(field, value)


def _unsubscribe(field: str, value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | Promise):
        raise wrong_type(field, "True, False or a tag", value)
    tag = read_tag(field, value)
    if not tag:
        raise InvalidMessageError(field, f"{field} is empty.")
    return tag


def _related(field: str, value: object) -> Model:
    if not isinstance(value, Model):
        raise wrong_type(field, "a model instance", value)
    if value.pk is None:
        raise InvalidMessageError(field, f"{field} must be saved first.")
    read_text(field, str(value.pk), longest=_ID_MAX)
    return value


def _in_reply_to(field: str, value: object) -> str:
    ids = _message_ids(field, value)
    if len(ids) > 1:
        raise InvalidMessageError(field, f"{field} must be one Message-ID.")
    return ids[0] if ids else ""


def _message_ids(field: str, value: object) -> list[str]:
    if isinstance(value, list | tuple):
        texts = [read_line(field, item) for item in value]
    else:
        texts = _BLANKS.split(read_line(field, value).strip())
    ids = [_message_id(field, text.strip()) for text in texts if text.strip()]
    if len(ids) > _IDS_MAX:
        raise InvalidMessageError(field, f"{field} has more than {_IDS_MAX:,} Message-IDs.")
    return ids


def _message_id(field: str, text: str) -> str:
    """Return it in angle brackets, which `Message.message_id` is stored without."""
    bracketed = text if text.startswith("<") else f"<{text}>"
    if not is_message_id(bracketed):
        raise InvalidMessageError(field, f"{text[:60]!r} is not a Message-ID.")
    return bracketed


def _notify(field: str, value: object) -> tuple[str, ...]:
    """Return the values in the order of `Notify`. "never" excludes others (RFC 3461 4.1)."""
    items = [value] if isinstance(value, str) else read_list(field, value, of="strings", most=4)
    names = {read_choice(field, one, Notify) for one in items} - {""}
    if Notify.NEVER in names and len(names) > 1:
        raise InvalidMessageError(field, f"{field}: never excludes success, failure and delay.")
    return tuple(one.value for one in Notify if one in names)


def _ret(field: str, value: object) -> str:
    return read_choice(field, value, Ret)


def _envid(field: str, value: object) -> str:
    text = read_line(field, value)
    if not is_envid(text):
        problem = f"{field} must be printable ASCII of at most {ENVID_MAX} characters."
        raise InvalidMessageError(field, problem)
    return text


_READERS: dict[str, Callable[[str, object], Any]] = {
    "from_name": _from_name,
    "envelope_sender": _envelope_sender,
    "owner": _owner,
    "importance": _importance,
    "priority": _priority,
    "send_at": read_moment,
    "expires_after": read_duration,
    "expires_at": read_moment,
    "idempotency_key": _idempotency_key,
    "tags": _tags,
    "metadata": read_json,
    "related": _related,
    "on_uncertain": _on_uncertain,
    "in_reply_to": _in_reply_to,
    "references": _message_ids,
    "wants_report": read_flag,
    "require_tls": read_flag,
    "notify": _notify,
    "ret": _ret,
    "envid": _envid,
    "sensitive": read_flag,
    "unsubscribe": _unsubscribe,
    "auto_submitted": read_flag,
}
