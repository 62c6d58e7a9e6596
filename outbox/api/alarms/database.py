"""The alarm about an unavailable database, which cannot be recorded there.

A file in the temporary directory notes when staff were notified, so that the next checks on this
host repeat the notification only after a while, and report the end.
"""

import datetime as dt
import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext, override

from outbox.api.alarms.channels import CHANNELS
from outbox.api.alarms.facts import host_name
from outbox.api.alarms.payload import Payload
from outbox.api.alarms.shown import ShownAlarm
from outbox.conf import get_conf
from outbox.db import clock
from outbox.models import Alarm, Channel, Severity
from outbox.texts import cause_of

_KIND = "database"


def report_unavailable(error: Exception) -> dict[str, str]:
    """Notify staff, unless that was done lately. Return why each failed channel failed."""
    conf = get_conf()
    noted_at = _noted_at()
    if noted_at is not None and clock.now().timestamp() - noted_at < conf.alarm_repeat:
        return {}
    failures = _notify(_alarm(since=noted_at), cause_of(error))
    if len(failures) < len(_channels()):
        _note()
    return failures


def clear_unavailable() -> None:
    """Report that the database is available again, if staff were notified that it was not."""
    noted_at = _noted_at()
    if noted_at is None:
        return
    alarm = _alarm(since=noted_at)
    alarm.cleared_at = clock.now()
    if not _notify(alarm, ""):
        with suppress(OSError):
            _path().unlink()


def _channels() -> list[Channel]:
    """Return the configured channels that need no database."""
    conf = get_conf()
    return [
        channel
        for channel, sender in CHANNELS.items()
        if channel != Channel.EMAIL and sender.is_configured(conf)
    ]


def _notify(alarm: Alarm, cause: str) -> dict[str, str]:
    with override(settings.LANGUAGE_CODE):
        shown = ShownAlarm(
            alarm,
            sentence=gettext("The database is unavailable: %(cause)s") % {"cause": cause}
            if cause
            else gettext("The database is unavailable."),
            what_to_do=gettext("Start the database, and check its address and its disk."),
            page="",
            query="",
        )
        payload = Payload([shown], host_name(), clock.now())
        reasons = {one: CHANNELS[one].send(payload, get_conf()) for one in _channels()}
    return {channel: str(reason) for channel, reason in reasons.items() if reason}


def _alarm(since: float | None) -> Alarm:
    now = clock.now()
    began = now if since is None else dt.datetime.fromtimestamp(since, dt.UTC)
    return Alarm(kind=_KIND, severity=Severity.CRITICAL, since=began, last_seen=now)


def _path() -> Path:
    described = settings.DATABASES[get_conf().database]
    place = "\n".join(str(described.get(name, "")) for name in ("HOST", "PORT", "NAME"))
    mark = hashlib.sha256(place.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"outbox-{os.getuid()}" / f"database-unavailable-{mark}"


def _noted_at() -> float | None:
    """Return when staff were last notified, on the clock of this host."""
    with suppress(OSError):
        if _is_ours(_path().parent):
            return _path().stat().st_mtime
    return None


def _note() -> None:
    """Write the file. Another user of the host must not be able to prevent notifications."""
    folder = _path().parent
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if _is_ours(folder):
            _path().touch(mode=0o600)


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
