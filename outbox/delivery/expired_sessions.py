"""Sessions whose conversation has expired, and those that no attempt refers to any more.

No index leads from a session to its attempts, since each delivery would write an entry. So many
sessions are chosen first, and then the attempts are walked once by their primary key, a window at a
time. Neither keys nor times are taken to be in order: imported history has old times under new
keys. Each call of `find` does a bounded part of this.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from array import array
from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import QuerySet

from outbox.delivery.expired import Expired, Rules, window_of
from outbox.models import Attempt, Message, SmtpSession
from outbox.models.removal import REMOVED
from outbox.models.retention import Part

_CHOSEN_MAX = 50_000  # sessions for which the attempts are read once; they are kept in memory
_NOTED_MAX = 2_000_000  # messages of these sessions, of 8 bytes each
_MESSAGES_MAX = 1_000  # in one condition
# The attempts of a session that ended are recorded some seconds later, after an outage some hours.
_RECORDED_WITHIN = dt.timedelta(days=1)


class _Walk(ABC):
    """Choose sessions, read the attempts, and return the chosen ones that have expired."""

    part: Part

    def __init__(self) -> None:
        self._sessions_after: int | None = 0  # None: all sessions were read
        self._attempts_after: int | None = None  # None: attempts are not being read
        self._ready: list[int] = []

    def find(self, rules: Rules, after: int, count: int) -> Expired:
        """Return some sessions that have expired, perhaps none yet. The walk is not over before."""
        if self._attempts_after is not None:
            self._read_attempts(rules)
        elif self._ready:
            found = self.expired_among(rules, [self._ready.pop() for _ in self._ready[:count]])
            return Expired(found, after)
        elif self._sessions_after is not None and rules.cutoff(self.part) is not None:
            self._choose(rules)
        else:
            return Expired([], None)
        return Expired([], after)

    def _choose(self, rules: Rules) -> None:
        """Choose old sessions of the next window, and begin with the attempts if there are many."""
        window, last = window_of(SmtpSession, self._sessions_after or 0, rules.using)
        self.choose(rules, window)
        self._sessions_after = last
        if self.chosen and (last is None or len(self.chosen) >= _CHOSEN_MAX):
            self._attempts_after = 0

    def _read_attempts(self, rules: Rules) -> None:
        window, last = window_of(Attempt, self._attempts_after or 0, rules.using)
        rows = window.filter(session__isnull=False).values_list("session_id", "message_id")
        self.note(rows.iterator())
        if (put_back := self.put_back()) is not None:
            self._sessions_after = put_back - 1
        self._attempts_after = last
        if last is None:
            self._ready = sorted(self.chosen, reverse=True)

    @property
    @abstractmethod
    def chosen(self) -> Collection[int]:
        """The sessions of which the attempts are read."""

    @abstractmethod
    def choose(self, rules: Rules, sessions: QuerySet[Any]) -> None:
        """Choose those of the sessions that may have expired."""

    @abstractmethod
    def note(self, attempts: Iterable[tuple[int, int]]) -> None:
        """Note the session and the message of attempts."""

    def put_back(self) -> int | None:
        """Forget the last sessions if too much is noted; return the first of these."""
        return None

    @abstractmethod
    def expired_among(self, rules: Rules, ids: list[int]) -> list[int]:
        """Return the sessions that have expired, and forget all of these."""


class OldSessions(_Walk):
    """Sessions whose conversation has expired, with those of all messages in it."""

    part = Part.TRANSCRIPT

    def __init__(self) -> None:
        super().__init__()
        self._messages: dict[int, array[int]] = {}  # in the order of the sessions' keys
        self._noted = 0  # messages in it

    @property
    def chosen(self) -> Collection[int]:
        """The sessions of which the attempts are read."""
        return self._messages

    def choose(self, rules: Rules, sessions: QuerySet[Any]) -> None:
        """Choose those of which something is recorded, and whose time has passed."""
        old = sessions.filter(started_at__lte=rules.cutoff(Part.TRANSCRIPT))
        recorded = old.exclude(opening__in=("", REMOVED), greeting="")
        rows = recorded.values_list("pk", "started_at", "ended_at", "destination__account_id")
        for pk, started, ended, account in rows.iterator():
            if rules.is_over(ended or started, rules.kept.of(account).transcript):
                self._messages[pk] = array("q")

    def note(self, attempts: Iterable[tuple[int, int]]) -> None:
        """Note the messages of the chosen sessions."""
        for session, message in attempts:
            if session in self._messages:
                self._messages[session].append(message)
                self._noted += 1

    def put_back(self) -> int | None:
        """Forget the last sessions while too many messages are noted; return the first of these.

        They are chosen again after those that stay.
        """
        first = None
        while self._noted > _NOTED_MAX and len(self._messages) > 1:
            first, messages = self._messages.popitem()
            self._noted -= len(messages)
        return first

    def expired_among(self, rules: Rules, ids: list[int]) -> list[int]:
        """Return the sessions of which each message has expired, as they are now."""
        messages = {pk: self._messages.pop(pk) for pk in ids}
        self._noted -= sum(map(len, messages.values()))
        kept = _unexpired(rules, sorted(set().union(*messages.values())))
        return [pk for pk in ids if kept.isdisjoint(messages[pk])]


def _unexpired(rules: Rules, ids: list[int]) -> set[int]:
    """Return the messages whose conversations have not expired."""
    kept: set[int] = set()
    for start in range(0, len(ids), _MESSAGES_MAX):
        chunk = ids[start : start + _MESSAGES_MAX]
        found = Message.objects.using(rules.using).filter(pk__in=chunk)
        accounts: dict[int, int | None] = dict(found.values_list("pk", "account_id"))
        kept |= accounts.keys() - set(rules.expired(accounts, Part.TRANSCRIPT))
    return kept


class ForgottenSessions(_Walk):
    """Sessions to which no attempt refers, since their messages were deleted."""

    part = Part.MESSAGE

    def __init__(self) -> None:
        super().__init__()
        self._unused: set[int] = set()

    @property
    def chosen(self) -> Collection[int]:
        """The sessions of which the attempts are read."""
        return self._unused

    def choose(self, rules: Rules, sessions: QuerySet[Any]) -> None:
        """Choose those that ended so long ago that messages of their account are deleted."""
        ended = sessions.filter(ended_at__lt=rules.now - _RECORDED_WITHIN)
        rows = ended.values_list("pk", "ended_at", "destination__account_id")
        for pk, at, account in rows.iterator():
            if rules.is_over(at, rules.kept.of(account).message):
                self._unused.add(pk)

    def note(self, attempts: Iterable[tuple[int, int]]) -> None:
        """Forget the sessions to which an attempt refers."""
        self._unused.difference_update(session for session, _message in attempts)

    def expired_among(self, rules: Rules, ids: list[int]) -> list[int]:
        """Return all of them."""
        self._unused.difference_update(ids)
        return ids
