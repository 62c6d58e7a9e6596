"""System checks: the classic mistakes, told at start and not by mail that never leaves.

An error (E) stops Django's commands: it is for what cannot work. A warning (W) is for what works
worse than its owner thinks; SILENCED_SYSTEM_CHECKS takes its id from who knows better.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from celery import current_app
from celery.schedules import crontab, schedule
from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

from outbox.conf import Conf, get_conf, is_set
from outbox.models import Worker
from outbox.models.sqlite import PATIENCE

BACKEND = "outbox.backend.EmailBackend"
ADMIN_HANDLER = "django.utils.log.AdminEmailHandler"
SWEEP = "outbox.sweep"
SQLITES = ("sqlite3", "spatialite")
_LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "::1"}

Messages = Iterator[checks.CheckMessage]


@checks.register(checks.Tags.compatibility)
def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Read the settings and answer every mistake in them; asks no database and no network."""
    try:
        conf = get_conf()
    except ImproperlyConfigured as error:
        hint = "Every setting stands in outbox.conf.Conf, with its default and its meaning."
        return [checks.Error(str(error), hint=hint, id="outbox.E001")]
    return [message for check in SETTINGS_CHECKS for message in check(conf)]


@checks.register(checks.Tags.database)
def check_workers(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Ask the outbox's database who works on it, where a command says that it may be asked."""
    try:
        alias = get_conf().database
        if alias not in (databases or ()) or connections[alias].vendor != "sqlite":
            return []
        return [*_journal(alias), *_hosts_at_work(alias)]
    except (ImproperlyConfigured, DatabaseError):  # the first is E001; the second: no tables yet
        return []


def _journal(alias: str) -> Messages:
    with connections[alias].cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    if mode not in {"wal", "memory"}:  # the latter is a database in memory: nobody shares it
        yield checks.Warning(
            f"The outbox is a SQLite file whose journal is in mode {mode!r}, so that every page "
            "waits while a worker writes, and a worker while a page is read.",
            hint=f'DATABASES[{alias!r}]["OPTIONS"] = '
            '{"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"}',
            id="outbox.W013",
        )


def _hosts_at_work(alias: str) -> Messages:
    alive = Worker.objects.using(alias).filter(ended_at=None)
    hosts = sorted(set(alive.values_list("host", flat=True)))
    if len(hosts) > 1:
        yield _several_hosts(" and ".join(hosts))


def _secret_keys(conf: Conf) -> Messages:
    if not conf.secret_keys:
        yield checks.Warning(
            'OUTBOX["SECRET_KEYS"] is empty, so no account can store a password.',
            hint="Put a key there: python -c "
            '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
            id="outbox.W003",
        )
    wrong = [number for number, key in enumerate(conf.secret_keys, 1) if not _is_key(key)]
    if wrong:
        yield checks.Error(
            f'OUTBOX["SECRET_KEYS"] has no Fernet key in place {", ".join(map(str, wrong))}.',
            hint="A key is 32 bytes in URL-safe base64, as Fernet.generate_key() makes it.",
            id="outbox.E002",
        )


def _is_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _database(conf: Conf) -> Messages:
    if conf.database not in settings.DATABASES:
        yield checks.Error(
            f'OUTBOX["DATABASE"] names {conf.database!r}, which is not in DATABASES.',
            hint="Name the alias of the database that holds the outbox's tables.",
            id="outbox.E004",
        )


def _other_databases(conf: Conf) -> Messages:
    if conf.on_other_database not in {"", "queue", "wait"}:
        yield checks.Error(
            f'OUTBOX["ON_OTHER_DATABASE"] is {conf.on_other_database!r}.',
            hint='It may be "queue" or "wait".',
            id="outbox.E011",
        )
    elif not conf.on_other_database and len(settings.DATABASES) > 1:
        yield checks.Warning(
            "There are several databases, and mail sent inside a transaction of another one than "
            f"{conf.database!r} is queued even if that transaction is rolled back.",
            hint='Set OUTBOX["ON_OTHER_DATABASE"] to "wait" for its commit, or to "queue" if this '
            "is what you want.",
            id="outbox.W011",
        )


def _storage(conf: Conf) -> Messages:
    if conf.storage not in settings.STORAGES:
        yield checks.Error(
            f'OUTBOX["STORAGE"] names {conf.storage!r}, which is not in STORAGES.',
            hint="Large mail and attachments are kept there; every worker must reach it.",
            id="outbox.E005",
        )
    elif _is_working_directory(settings.STORAGES[conf.storage]):
        yield checks.Warning(
            f"The storage {conf.storage!r} keeps large mail and attachments in whatever directory "
            "a process was started in, for MEDIA_ROOT is empty.",
            hint="Set MEDIA_ROOT to a folder that every worker reaches; better, give the outbox a "
            'storage of its own that no URL serves, by STORAGES and OUTBOX["STORAGE"].',
            id="outbox.W014",
        )


def _is_working_directory(storage: Mapping[str, Any]) -> bool:
    is_on_disk = storage["BACKEND"] == "django.core.files.storage.FileSystemStorage"
    return is_on_disk and not storage.get("OPTIONS", {}).get("location") and not settings.MEDIA_ROOT


def _lease(conf: Conf) -> Messages:
    if conf.lease_for < 2 * conf.heartbeat_every:
        yield checks.Error(
            f'OUTBOX["LEASE_FOR"] is {conf.lease_for:g} s, less than two heartbeats of '
            f"{conf.heartbeat_every:g} s.",
            hint="One late heartbeat would take a living worker's mail away from it.",
            id="outbox.E006",
        )
    elif conf.lease_for <= conf.heartbeat_every + _database_patience(conf):
        yield checks.Warning(
            f'OUTBOX["LEASE_FOR"] is {conf.lease_for:g} s, and a heartbeat every '
            f"{conf.heartbeat_every:g} s may wait {_database_patience(conf):g} s for the database.",
            hint="A worker whose heartbeat waits so long loses its lease, and mail whose answer it "
            "was waiting for becomes uncertain: make the lease longer or the timeout shorter.",
            id="outbox.W012",
        )


def _database_patience(conf: Conf) -> float:
    """Return how many seconds one statement may wait for its turn, as far as settings tell."""
    database = settings.DATABASES.get(conf.database, {})
    if not database.get("ENGINE", "").endswith(SQLITES):
        return 0
    return float(database.get("OPTIONS", {}).get("timeout", PATIENCE))


def _broker(conf: Conf) -> Messages:
    url = _broker_url()
    if not url or url.startswith("memory:"):
        yield checks.Warning(
            "Celery has no broker, so nothing wakes a worker when mail is queued.",
            hint="Set CELERY_BROKER_URL to your Redis; or run outbox_deliver in place of worker "
            "and beat, and silence this warning.",
            id="outbox.W007",
        )
    elif not _schedules() and not _schedule_is_elsewhere():
        yield checks.Warning(
            f"Celery's beat schedule has no {SWEEP!r}, so scheduled and deferred mail, and what a "
            "dead worker held, waits for the next mail to be queued.",
            hint='CELERY_BEAT_SCHEDULE = {"sweep": {"task": "outbox.sweep", "schedule": 5.0}}',
            id="outbox.W008",
        )


def _broker_url() -> str:
    url: object = current_app.conf.broker_url  # typed as text, and may be a list of them
    return str(url[0] if isinstance(url, (list, tuple)) else url or "")


def _schedule_is_elsewhere() -> bool:
    """Tell whether django-celery-beat keeps it in the database, where a check does not look."""
    return "django_celery_beat" in str(current_app.conf.beat_scheduler)


def _schedules() -> list[object]:
    """Return when beat has the sweep done, in whatever way the project says it."""
    entries = (current_app.conf.beat_schedule or {}).values()
    return [entry.get("schedule") for entry in entries if entry.get("task") == SWEEP]


def _sweep(conf: Conf) -> Messages:
    by_beat = min(map(_interval, _schedules()), default=0)
    told = (("Celery's beat schedule", by_beat), ('OUTBOX["SWEEP_EVERY"]', conf.sweep_every))
    for where, seconds in told:
        if seconds > conf.lease_for:
            yield checks.Warning(
                f"By {where} the sweep comes every {seconds:g} s, and a lease is over after "
                f"{conf.lease_for:g} s: what a dead worker held, mail that no bell told of and the "
                "calls of webhooks wait for so long.",
                hint="Sweep every few seconds. It is a handful of queries, each by an index.",
                id="outbox.W015",
            )


def _interval(when: object) -> float:
    """Return how many seconds lie between two sweeps, at their rarest; 0 where nobody can say."""
    match when:
        case int() | float():
            return when
        case dt.timedelta():
            return when.total_seconds()
        case schedule():
            return when.seconds
        case crontab():  # its hours and days may make it rarer still
            minutes: list[int] = sorted(when.minute)  # type: ignore[attr-defined]  # stubs lack it
            return 60 * max(b - a for a, b in pairwise([*minutes, minutes[0] + 60]))
    return 0


def _sqlite(conf: Conf) -> Messages:
    engine = settings.DATABASES.get(conf.database, {}).get("ENGINE", "")
    host = urlsplit(_broker_url()).hostname or ""
    if engine.endswith(SQLITES) and host not in _LOCAL_HOSTS:
        yield _several_hosts(f"this host and {host}, where the broker is,")


def _several_hosts(who: str) -> checks.CheckMessage:
    return checks.Warning(
        f"The outbox is a SQLite file, but {who} seem to work on it.",
        hint="SQLite is safe for the processes of one host only; use PostgreSQL for several.",
        id="outbox.W009",
    )


def _alerts(conf: Conf) -> Messages:
    for name, handler in sorted(getattr(settings, "LOGGING", {}).get("handlers", {}).items()):
        if handler.get("class") == ADMIN_HANDLER and _backend_of(handler) == BACKEND:
            yield checks.Warning(
                f"The log handler {name!r} mails its alerts through the outbox itself, so an "
                "alert about mail that cannot leave waits behind that mail.",
                hint="Give the handler another email_backend (Django 6.1: using), or alert by "
                "another way too.",
                id="outbox.W010",
            )


def _backend_of(handler: Mapping[str, Any]) -> str:
    """Return the dotted path of the backend that a log handler mails with."""
    mailers = getattr(settings, "MAILERS", None)  # Django 6.1 has these …
    if mailers is not None:
        return str(mailers.get(handler.get("using") or "default", {}).get("BACKEND", ""))
    if named := handler.get("email_backend"):
        return str(named)
    # … and warns of this one being read, which a project that has not set it cannot help.
    return str(settings.EMAIL_BACKEND) if is_set("EMAIL_BACKEND") else ""


SETTINGS_CHECKS: tuple[Callable[[Conf], Messages], ...] = (
    _secret_keys,
    _database,
    _other_databases,
    _storage,
    _lease,
    _broker,
    _sweep,
    _sqlite,
    _alerts,
)
