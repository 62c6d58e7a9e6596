"""The checks of a host: one within the interval, whichever of its processes comes first."""

import logging

from outbox.api.alarms import hosts
from outbox.db.background import BackgroundWork
from outbox.db.unavailable import DATABASE_UNAVAILABLE

logger = logging.getLogger(__name__)
_background = BackgroundWork("outbox-alarms")


def check_if_due(using: str) -> None:
    """Check, unless a process of this host did within the interval. Errors are logged."""
    if hosts.may_be_due():
        _check_if_claimed(using)


def check_in_background(using: str) -> None:
    """Check in a thread: a notification or a file system may take a while."""
    _background.start(lambda: _check_if_claimed(using), if_due=hosts.may_be_due)


def _check_if_claimed(using: str) -> None:
    try:
        if hosts.claim_check(using):
            # Imported when a check is due: most processes make none, and start sooner.
            from outbox.api.alarms.check import check

            check(using)
    except DATABASE_UNAVAILABLE as error:
        logger.warning("The alarms have to wait for the database: %s", error)
    except Exception:
        logger.exception("The alarms could not be checked. The next sweep checks them.")
