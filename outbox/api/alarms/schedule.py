"""The checks of a host: one within the interval, whichever of its processes comes first."""

from outbox.api.alarms import hosts
from outbox.db.background import BackgroundWork

_background = BackgroundWork("outbox-alarms", "Check of the alarms")


def check_if_due(using: str) -> None:
    """Check, unless a process of this host did within the interval. Errors are logged."""
    if hosts.may_be_due():
        _background.log_errors(lambda: _check_if_claimed(using))


def check_in_background(using: str) -> None:
    """Check in a thread: a notification or a file system may take a while."""
    _background.start(lambda: _check_if_claimed(using), if_due=hosts.may_be_due)


def _check_if_claimed(using: str) -> None:
    if hosts.claim_check(using):
        # Imported when a check is due: most processes make none, and start sooner.
        from outbox.api.alarms.check import check

        check(using)
