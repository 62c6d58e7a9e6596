"""Fetch the only mailbox in a process of its own, and die at a point of it.

    python -m tests.acceptance.fetch_worker POINT [CALL [SECONDS]]

The points are those of `POINTS`; "" survives. It dies at the given call of the method, otherwise at
the first one. The session requests messages for so many seconds. It prints how many were stored.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsite.settings")

import django

django.setup()

from outbox.inbound import commits, fetch, pop3_server  # noqa: E402  # needs the settings
from outbox.inbound.fetch import fetch_mailbox  # noqa: E402  # likewise
from outbox.models import Mailbox  # noqa: E402  # likewise

POINTS = ("before the commit", "after the commit", "after DELE", "before QUIT", "after QUIT")
_POINT = sys.argv[1]
_CALL = int(sys.argv[2]) if len(sys.argv) > 2 else 1
_save = commits.Commits._save  # the last statement of the transaction


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wrapped(name: str, *, before: str, after: str) -> None:
    """Die before or after a call of a method of the session with the server."""
    method: Callable[..., Any] = getattr(pop3_server.Pop3Server, name)
    calls = itertools.count(1)

    def dying(self: Any, *args: Any) -> Any:
        is_last = next(calls) == _CALL
        if is_last and before == _POINT:
            _die()
        result = method(self, *args)
        if is_last and after == _POINT:
            _die()
        return result

    setattr(pop3_server.Pop3Server, name, dying)


def _dying_in_the_transaction(self: Any, *args: Any) -> None:
    _save(self, *args)
    if _POINT == "before the commit":
        _die()


if __name__ == "__main__":
    _wrapped("delete", before="after the commit", after="after DELE")
    _wrapped("quit", before="before QUIT", after="after QUIT")
    setattr(commits.Commits, "_save", _dying_in_the_transaction)  # noqa: B010  # for mypy
    if len(sys.argv) > 3:
        fetch.SESSION_SECONDS = float(sys.argv[3])
    outcome = fetch_mailbox(Mailbox.objects.get().pk)
    sys.stdout.write(f"{outcome.stored} {outcome.reason}\n")
