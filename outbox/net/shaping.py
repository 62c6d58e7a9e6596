"""How much a receiving provider accepts: limits, the least TLS, and replies that ask to slow down.

Data and pure functions. The values of a provider are in the provider table, beside its servers.
Those that the provider does not publish are the defaults of KumoMTA, which large senders use:
https://docs.kumomta.com/userguide/configuration/trafficshaping/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any


class TlsFloor(StrEnum):
    """The least protection with which messages are sent."""

    NONE = "none"  # plain text where the server has no TLS
    ENCRYPTED = "encrypted"  # never in plain text
    VERIFIED = "verified"  # the certificate has to be valid, too


class Effect(StrEnum):
    """What a reply changes for the whole site."""

    SLOW_DOWN = "slow_down"  # one connection and one message a minute
    SUSPEND = "suspend"  # nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRule:
    """A reply that is about the sender rather than about one message."""

    pattern: str  # a regular expression, found in the server's reply, in any case
    effect: Effect
    seconds: int  # how long the effect lasts
    after: int = 1  # such replies within an hour

    def matches(self, reply: str) -> bool:
        """Return whether the rule is about this reply."""
        flags = re.IGNORECASE | re.DOTALL  # a reply may have several lines
        return re.search(self.pattern, reply[:_REPLY_MAX], flags) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """Limits for one MX site; None where another source decides."""

    connections: int | None = None
    messages_per_connection: int | None = None
    messages_per_minute: int | None = None
    tls_floor: TlsFloor | None = None
    rules: tuple[ReplyRule, ...] = ()  # those of all sources apply, the more specific ones first


class ShapingError(ValueError):
    """An override is invalid; the message names it."""


_REPLY_MAX = 2_000  # characters
_HOUR = 3_600
_LIMITS = ("connections", "messages_per_connection", "messages_per_minute")
_VALUE_MAX = 1_000_000

# For every site. A few connections are what a small receiver has; the rates are those of a person's
# or a shop's messages, not of a newsletter's.
DEFAULT = Shaping(
    connections=5,
    messages_per_connection=50,
    messages_per_minute=300,
    tls_floor=TlsFloor.NONE,
    rules=(
        ReplyRule(
            pattern=r"^4\d\d\b.*\b(?:rate.?limit|too many (?:connections|messages))",
            effect=Effect.SLOW_DOWN,
            seconds=_HOUR // 2,
            after=3,
        ),
    ),
)

# "Use a TLS connection": https://support.google.com/mail/answer/81126
# 4.7.28 is about the rate: https://support.google.com/a/answer/3726730
GOOGLE = Shaping(
    connections=5,
    messages_per_connection=50,
    tls_floor=TlsFloor.ENCRYPTED,
    rules=(ReplyRule(pattern=r"\b4\.7\.28\b", effect=Effect.SLOW_DOWN, seconds=_HOUR, after=2),),
)

# 4.7.650 and 4.7.651 limit by reputation, 4.7.652 by connections: https://aka.ms/postmaster
_MICROSOFT_RULES = (
    ReplyRule(pattern=r"\b4\.7\.65[01]\b|\bRP-00[12]\b", effect=Effect.SUSPEND, seconds=_HOUR),
    ReplyRule(pattern=r"\b4\.7\.652\b|\bRP-003\b", effect=Effect.SLOW_DOWN, seconds=_HOUR),
)
MICROSOFT = Shaping(
    connections=5,
    messages_per_connection=50,
    tls_floor=TlsFloor.ENCRYPTED,
    rules=_MICROSOFT_RULES,
)

# The server closes after 20 messages, without a reply: https://help.yahoo.com/kb/SLN3433.html
# [TSS04] and [TS03]: https://help.yahoo.com/kb/SLN3436.html, https://senders.yahooinc.com
YAHOO = Shaping(
    messages_per_connection=20,
    tls_floor=TlsFloor.ENCRYPTED,
    rules=(
        ReplyRule(pattern=r"\[TSS?0[1-5]\]", effect=Effect.SUSPEND, seconds=2 * _HOUR),
        ReplyRule(pattern=r"temporarily deferred", effect=Effect.SLOW_DOWN, seconds=_HOUR, after=2),
    ),
)

# https://support.apple.com/en-us/102322 publishes no numbers; these are KumoMTA's.
APPLE = Shaping(connections=10, messages_per_connection=5, tls_floor=TlsFloor.ENCRYPTED)


def parse_overrides(setting: object) -> dict[str, Shaping]:
    """Return shaping by MX suffix or site key, from a setting. Raise ShapingError.

    Each value is a mapping with names of the fields of `Shaping`; `rules` is a list of mappings.
    """
    if not isinstance(setting, Mapping):
        raise ShapingError("The overrides are not a mapping of MX suffixes.")
    found = {}
    for name, values in setting.items():
        if not isinstance(name, str) or not name.strip("."):
            raise ShapingError(f"{name!r} is not an MX suffix.")
        found[name.lower().strip(".")] = _parsed(name, values)
    return found


def _parsed(name: str, values: object) -> Shaping:
    if not isinstance(values, Mapping):
        raise ShapingError(f"{name}: {values!r} is not a mapping.")
    if unknown := set(values) - {field.name for field in fields(Shaping)}:
        raise ShapingError(f"{name}: there is no {', '.join(sorted(map(str, unknown)))}.")
    connections, per_connection, per_minute = (
        _parsed_limit(name, field, values.get(field)) for field in _LIMITS
    )
    shaping = Shaping(
        connections=connections,
        messages_per_connection=per_connection,
        messages_per_minute=per_minute,
    )
    try:
        if values.get("tls_floor") is not None:
            shaping = replace(shaping, tls_floor=TlsFloor(values["tls_floor"]))
    except ValueError:
        choices = ", ".join(TlsFloor)
        raise ShapingError(f"{name}: tls_floor is not one of {choices}.") from None
    return replace(shaping, rules=_parsed_rules(name, values.get("rules", ())))


def _parsed_limit(name: str, field: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _VALUE_MAX:
        raise ShapingError(f"{name}: {field} is not a number from 1 to {_VALUE_MAX}.")
    return value


def _parsed_rules(name: str, rules: object) -> tuple[ReplyRule, ...]:
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        raise ShapingError(f"{name}: the rules are not a list.")
    return tuple(_parsed_rule(name, rule) for rule in rules)


def _parsed_rule(name: str, rule: Any) -> ReplyRule:
    try:
        parsed = ReplyRule(**{**rule, "effect": Effect(rule["effect"])})
        re.compile(parsed.pattern)
        if not (0 < parsed.seconds <= _VALUE_MAX and 0 < parsed.after <= _VALUE_MAX):
            raise ShapingError(f"{name}: seconds and after have to be positive.")
    except (KeyError, TypeError, ValueError, re.error) as error:
        if isinstance(error, ShapingError):
            raise
        raise ShapingError(f"{name}: {rule!r} is not a rule ({error}).") from error
    return parsed
