"""The reply group of each failure in a group commit.

Groups are written before the commit and in a transaction of their own, since all workers share
them. A process writes a group when it meets it first, and once an hour.
"""

import time
from collections.abc import Collection

from outbox.delivery.job import Result
from outbox.delivery.verdict import Verdict
from outbox.mail.server_replies import FailureKind, NormalizedReply, normalized_reply
from outbox.models.recipient import REFUSALS_FROM
from outbox.models.reply_group import store
from outbox.models.states import State
from outbox.reasons import Reason
from outbox.texts import storable

_STORED_AGAIN_AFTER = 3_600.0  # seconds; so exact is the time at which a group was last seen
_NO_GROUP = 0
_FAILED = frozenset({State.FAILED, State.EXPIRED, State.DEFERRED, State.UNCERTAIN})


class FailureGroups:
    """Assigns reply groups to results, and remembers which groups it has stored."""

    def __init__(self) -> None:
        self._stored_at: dict[int, float] = {}  # monotonic, by key
        self._substitutes: dict[int, int] = {}  # of groups for which there was no room

    def assign(self, results: Collection[Result], using: str) -> None:
        """Set the keys of each result. Raise what the database raises."""
        now = time.monotonic()
        met: dict[int, tuple[NormalizedReply, FailureKind]] = {}
        for result in results:
            result.group_keys = [self._key(verdict, now, met) for verdict in result.verdicts]
        if not met:
            return
        self._store(met, now, using)
        for result in results:
            result.group_keys = [self._substitutes.get(key, key) for key in result.group_keys]

    def _key(
        self, verdict: Verdict, now: float, met: dict[int, tuple[NormalizedReply, FailureKind]]
    ) -> int:
        """Return the key of a verdict's group, and add the group to `met` if it is to be stored."""
        group = group_of(verdict)
        if group is None:
            return _NO_GROUP
        key = group.key
        if now - self._stored_at.get(key, -_STORED_AGAIN_AFTER) < _STORED_AGAIN_AFTER:
            return self._substitutes.get(key, key)
        if key not in met:
            text = verdict.reply.text if verdict.reply else ""
            met[key] = (group, _kind_of(group, text))
        return key

    def _store(
        self, met: dict[int, tuple[NormalizedReply, FailureKind]], now: float, using: str
    ) -> None:
        stored = store(met.values(), using)
        left = {key: group for key, (group, _) in met.items() if key not in stored}
        for key in stored:
            self._substitutes.pop(key, None)
        if left:  # no room: the code alone
            plain = {key: NormalizedReply(group.code, "", "") for key, group in left.items()}
            store([(one, _kind_of(one)) for one in set(plain.values())], using)
            self._substitutes |= {key: one.key for key, one in plain.items()}
        self._stored_at |= dict.fromkeys(met, now)


def group_of(verdict: Verdict) -> NormalizedReply | None:
    """Return the group of a failure: that of its negative reply, or else of its reason."""
    reply = verdict.reply
    if reply is not None and reply.code >= REFUSALS_FROM:
        return normalized_reply(reply.code, reply.enhanced, storable(reply.text))
    if verdict.state in _FAILED and verdict.reason:
        return NormalizedReply(0, "", _innermost(verdict.reason).code)
    return None


def _innermost(reason: Reason) -> Reason:
    """Return the reason that all others of a chain follow from."""
    while isinstance(why := reason.args.get("why"), Reason):
        reason = why
    return reason


def _kind_of(group: NormalizedReply, text: str = "") -> FailureKind:
    """Return the kind of a group; `text` is a reply as it was received."""
    from outbox.mail.reply_kinds import kind_of_reason  # only failures need them
    from outbox.reply_rules import kind_of_reply

    if not group.code:
        return kind_of_reason(group.text)
    return kind_of_reply(group.code, group.enhanced, text)
