"""What the servers of a destination announce and then reject, so that it is not used again.

An entry belongs to one server, as its host and its extensions identify it. So a farm of different
servers has several entries, and a server that was repaired and announces something else is used
fully at once. Every entry expires, since a server may also be repaired without a visible change.
An MX site may have thousands of hosts. Beyond a number of entries the oldest is forgotten and may
be learned again: no host is restricted for what another one rejected.
"""

import datetime as dt
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.db import transaction

from outbox.models import Destination
from outbox.smtp import Restrictions

_REMEMBERED_FOR = dt.timedelta(days=1)
_SERVERS_MAX = 8  # of one host; beyond it, an entry applies to all of them
_ENTRIES_MAX = 64  # of one destination; beyond it, the oldest is forgotten
_RCPT_MAX = "RCPTMAX"  # beside the keywords of rejected extensions
# Parameters and other keywords may differ between two sessions with one server.
_IDENTIFYING = frozenset(
    {"8BITMIME", "AUTH", "CHUNKING", "DSN", "LIMITS", "PIPELINING", "SIZE", "SMTPUTF8", "STARTTLS"}
)

_Entries = dict[str, dict[str, list[float]]]  # server → keyword → [until, number]


class ServerMemory:
    """The restrictions of a destination's servers; one for each runner."""

    def __init__(self, destination: Destination) -> None:
        self._entries: _Entries = {}
        self._host = ""
        self.update(destination)

    def update(self, destination: Destination) -> None:
        """Add what other workers recorded, and what was recorded before."""
        self._host = f"{destination.account.host}:{destination.account.port}"
        self._entries = _bounded(_merged(self._entries, _load(destination.restrictions)))

    def restrictions(
        self, offered: Mapping[str, str], now: dt.datetime, host: str = ""
    ) -> Restrictions:
        """Return the restrictions of the server that announces these extensions.

        `host` is the server with its port; empty means that of the account.
        """
        entries = _current(self._entries, now)  # first: an expired entry must not hide another
        current = entries.get(self._any(host), {}) | entries.get(self._server(offered, host), {})
        rcpt_max = int(current.pop(_RCPT_MAX, [0, 0])[1])
        return Restrictions(frozenset(current), rcpt_max)

    def learn(
        self, offered: Mapping[str, str], learned: Restrictions, now: dt.datetime, host: str = ""
    ) -> bool:
        """Add what a session showed; return whether it was not known."""
        if not learned:
            return False
        known = self.restrictions(offered, now, host)
        if known | learned == known:
            return False
        until = (now + _REMEMBERED_FOR).timestamp()
        new: dict[str, list[float]] = {name: [until, 0] for name in learned.rejected}
        if learned.rcpt_max:
            new[_RCPT_MAX] = [until, learned.rcpt_max]
        entries = _current(self._entries, now)
        name = self._name_for_new(entries, self._server(offered, host), host)
        entries[name] = entries.pop(name, {}) | new  # the last one, as the newest
        self._entries = _bounded(entries)
        return True

    def _name_for_new(self, entries: _Entries, server: str, host: str) -> str:
        """Return the name of the entry for what a server rejected.

        A server that announces something else in every session would be relearned without end.
        """
        own = host or self._host
        servers = sum(name.partition(" ")[0] == own for name in entries)
        return server if server in entries or servers < _SERVERS_MAX else self._any(host)

    def merged_into(self, stored: str, now: dt.datetime) -> str:
        """Return the stored form with the entries of this memory, without expired ones."""
        merged = _bounded(_current(_merged(_load(stored), self._entries), now))
        return json.dumps(merged, separators=(",", ":"))

    def _any(self, host: str) -> str:
        return f"{host or self._host} *"

    def _server(self, offered: Mapping[str, str], host: str) -> str:
        return " ".join([host or self._host, *sorted(_IDENTIFYING.intersection(offered))])


def remember(destination_id: int, memory: ServerMemory, now: dt.datetime, using: str) -> None:
    """Record the memory for other workers and later runners."""
    with transaction.atomic(using=using):
        rows = Destination.objects.using(using).filter(pk=destination_id)
        row = rows.select_for_update(no_key=True).only("restrictions").first()
        if row is not None:
            rows.update(restrictions=memory.merged_into(row.restrictions, now))


def _load(stored: str) -> _Entries:
    """Return the stored entries; none where another version stored something else."""
    entries: Any = None
    with suppress(ValueError):
        entries = json.loads(stored or "{}")
    if not isinstance(entries, dict):
        return {}
    return {
        server: {name: value for name, value in known.items() if _is_value(value)}
        for server, known in entries.items()
        if isinstance(known, dict)
    }


def _current(entries: _Entries, now: dt.datetime) -> _Entries:
    """Return the entries that have not expired."""
    moment = now.timestamp()
    left = {
        server: {name: value for name, value in known.items() if value[0] > moment}
        for server, known in entries.items()
    }
    return {server: known for server, known in left.items() if known}


def _bounded(entries: _Entries) -> _Entries:
    """Return the newest entries. Of two that are equally new, the later one is kept."""
    newest = sorted(
        (server for server, known in entries.items() if known),
        key=lambda server: max(value[0] for value in entries[server].values()),
    )
    kept = set(newest[-_ENTRIES_MAX:])
    return {server: known for server, known in entries.items() if server in kept}


def _is_value(value: Any) -> bool:
    return isinstance(value, list) and [type(part) in {int, float} for part in value] == [True] * 2


def _merged(first: _Entries, second: _Entries) -> _Entries:
    """Return the entries of both; of one in both, the newer."""
    merged = {server: dict(known) for server, known in first.items()}
    for server, known in second.items():
        entry = merged.setdefault(server, {})
        for name, value in known.items():
            entry[name] = max(entry.get(name, value), value)
    return merged
