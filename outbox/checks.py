"""System checks: common mistakes in the configuration, reported at start.

An error (E) stops Django's commands, because the outbox cannot work. A warning (W) is about a
configuration that works, but probably not as intended; SILENCED_SYSTEM_CHECKS silences it.
"""

import base64
import datetime as dt
import ipaddress
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder

from outbox import migrations, wakeup
from outbox.conf import Conf, get_conf, is_set
from outbox.db.sqlite import PATIENCE
from outbox.models import Worker

BACKEND = "outbox.backend.EmailBackend"
ADMIN_HANDLER = "django.utils.log.AdminEmailHandler"
SWEEP = "outbox.sweep"
SQLITES = ("sqlite3", "spatialite")
_KEY_BYTES = 32  # of a Fernet key
_LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "::1"}

Messages = Iterator[checks.CheckMessage]


@checks.register(checks.Tags.compatibility)
def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Check the settings, without the database and the network."""
    try:
        conf = get_conf()
    except ImproperlyConfigured as error:
        hint = "outbox.conf.Conf lists every setting, with its default and its meaning."
        return [checks.Error(str(error), hint=hint, id="outbox.E001")]
    return [message for check in SETTINGS_CHECKS for message in check(conf)]


@checks.register(checks.Tags.database)
def check_workers(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Check a SQLite database and the workers that use it, if a command allows database access."""
    try:
        alias = get_conf().database
        if alias not in (databases or ()) or connections[alias].vendor != "sqlite":
            return []
        return [*_journal(alias), *_hosts_of_workers(alias)]
    except (ImproperlyConfigured, DatabaseError):  # the first is E001; the second: no tables yet
        return []


@checks.register(checks.Tags.database)
def check_migrations(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Check that no migration was applied that does not exist."""
    try:
        alias = get_conf().database
        if alias not in (databases or ()):
            return []
        applied = {
            name
            for app, name in MigrationRecorder(connections[alias]).applied_migrations()
            if app == "outbox"
        }
    except (ImproperlyConfigured, DatabaseError):  # the first is E001; the second: no database yet
        return []
    unknown = applied - {found.name for found in pkgutil.iter_modules(migrations.__path__)}
    if not unknown:
        return []
    return [
        checks.Error(
            f"The outbox's tables in the database {alias!r} were created by migrations that do not "
            f"exist, such as {min(unknown)!r}.",
            hint="If a later version of the outbox has applied them, use that version. Otherwise "
            "they are from before the first release. Then keep that database for reference and use "
            "a new, empty one. With the site of `make run`: `make run NEW_DATABASE=1` renames the "
            "old file and creates a new one.",
            id="outbox.E017",
        )
    ]


def _journal(alias: str) -> Messages:
    with connections[alias].cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    if mode not in {"wal", "memory"}:  # a database in memory is not shared
        yield checks.Warning(
            f"The outbox is a SQLite file with the journal mode {mode!r}, in which pages wait "
            "while a worker writes, and workers wait while a page reads.",
            hint=f'DATABASES[{alias!r}]["OPTIONS"] = '
            '{"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"}',
            id="outbox.W013",
        )


def _hosts_of_workers(alias: str) -> Messages:
    alive = Worker.objects.using(alias).filter(ended_at=None)
    hosts = sorted(set(alive.values_list("host", flat=True)))
    if len(hosts) > 1:
        yield _several_hosts(" and ".join(hosts))


def _secret_keys(conf: Conf) -> Messages:
    if not conf.secret_keys:
        yield checks.Warning(
            'OUTBOX["SECRET_KEYS"] is empty, so no account can store a password.',
            hint="Add a key: python -c "
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
        return len(base64.urlsafe_b64decode(key)) == _KEY_BYTES
    except ValueError:
        return False


def _time_zones(conf: Conf) -> Messages:
    if not settings.USE_TZ:
        yield checks.Error(
            "USE_TZ is False, but the outbox stores times with their time zone.",
            hint="Set USE_TZ = True, Django's default since 5.0. TIME_ZONE stays as it is.",
            id="outbox.E019",
        )


def _database(conf: Conf) -> Messages:
    if conf.database not in settings.DATABASES:
        yield checks.Error(
            f'OUTBOX["DATABASE"] names {conf.database!r}, which is not in DATABASES.',
            hint="Use the alias of the database with the outbox's tables.",
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
            "There are several databases, and messages sent inside a transaction of another one "
            f"than {conf.database!r} are queued even if that transaction is rolled back.",
            hint='Set OUTBOX["ON_OTHER_DATABASE"] to "wait" for its commit, or to "queue" if this '
            "is intended.",
            id="outbox.W011",
        )


def _networks(conf: Conf) -> Messages:
    settings_with = {
        "TRUSTED_PROXIES": (conf.trusted_proxies, ', or "unix" for a Unix socket'),
        "METRICS_NETWORKS": (conf.metrics_networks, ""),
    }
    for name, (networks, besides) in settings_with.items():
        wrong = [
            one
            for one in networks
            if not _is_readable(one, ipaddress.ip_network) and not (besides and one == "unix")
        ]
        if wrong:
            yield checks.Error(
                f'OUTBOX["{name}"] has {", ".join(map(repr, wrong))}.',
                hint=f'It lists networks such as "10.0.0.0/8"{besides}.',
                id="outbox.E018",
            )


def _storage(conf: Conf) -> Messages:
    if conf.storage not in settings.STORAGES:
        yield checks.Error(
            f'OUTBOX["STORAGE"] names {conf.storage!r}, which is not in STORAGES.',
            hint="It contains large messages and attachments; every worker must have access to it.",
            id="outbox.E005",
        )
    elif _is_working_directory(settings.STORAGES[conf.storage]):
        yield checks.Warning(
            f"The storage {conf.storage!r} puts large messages and attachments into the current "
            "directory of each process, because MEDIA_ROOT is empty.",
            hint="Set MEDIA_ROOT to a folder that every worker can access. Better: set STORAGES "
            'and OUTBOX["STORAGE"] to a separate storage that no URL serves.',
            id="outbox.W014",
        )


def _is_working_directory(storage: Mapping[str, Any]) -> bool:
    is_on_disk = storage["BACKEND"] == "django.core.files.storage.FileSystemStorage"
    return is_on_disk and not storage.get("OPTIONS", {}).get("location") and not settings.MEDIA_ROOT


def _sender_domains(conf: Conf) -> Messages:
    if not (conf.dns_servers or conf.sending_addresses or conf.blocklists or conf.port_25_server):
        return
    from outbox.mail.dkim_keys import clean_domain  # dnspython takes long to import
    from outbox.net.dns_lookup import server_of
    from outbox.net.sender_domain import server_address

    servers = (conf.port_25_server,) if conf.port_25_server else ()
    readers: dict[str, tuple[Sequence[str], Callable[[str], object], str]] = {
        "DNS_SERVERS": (conf.dns_servers, server_of, 'IP addresses, or "address:port"'),
        "SENDING_ADDRESSES": (conf.sending_addresses, ipaddress.ip_address, "IP addresses"),
        "BLOCKLISTS": (conf.blocklists, clean_domain, 'DNS zones such as "zen.spamhaus.org"'),
        "PORT_25_SERVER": (servers, server_address, 'a server, as "host" or "host:port"'),
    }
    for name, (values, read, expected) in readers.items():
        wrong = [one for one in values if not _is_readable(one, read)]
        if wrong:
            yield checks.Error(
                f'OUTBOX["{name}"] has {", ".join(map(repr, wrong))}.',
                hint=f"It needs {expected}. Until then, no sender domain can be checked.",
                id="outbox.E021",
            )


def _is_readable(text: str, read: Callable[[str], object]) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _ehlo_name(conf: Conf) -> Messages:
    if not conf.ehlo_name:
        return
    from outbox.smtp.ehlo import chosen_name  # it takes long to import

    if not chosen_name(conf.ehlo_name):
        yield checks.Warning(
            f'OUTBOX["EHLO_NAME"], {conf.ehlo_name!r}, is not a name that SMTP can transport.',
            hint="Use a domain name, such as mail.example.com, or an address in brackets. Until"
            " then, the name of the host is used.",
            id="outbox.W030",
        )


def _reply_rules(conf: Conf) -> Messages:
    if not conf.reply_rules:
        return
    from outbox.reply_rules import rules_in_force  # it compiles the rules

    try:
        rules_in_force()
    except ImproperlyConfigured as error:
        hint = "outbox/mail/reply_rules.toml explains the fields. The built-in rules are used."
        yield checks.Error(str(error), hint=hint, id="outbox.E020")


def _mx_shaping(conf: Conf) -> Messages:
    if not conf.mx_shaping:
        return
    from outbox.mx_shaping import overrides_in_force

    try:
        overrides_in_force()
    except ImproperlyConfigured as error:
        hint = "docs/how-to/direct-delivery.md explains the fields. The built-in limits are used."
        yield checks.Error(str(error), hint=hint, id="outbox.E022")


def _lease(conf: Conf) -> Messages:
    if conf.lease_duration < 2 * conf.heartbeat_interval:
        yield checks.Error(
            f'OUTBOX["LEASE_DURATION"] is {conf.lease_duration:g} s, less than two heartbeats of '
            f"{conf.heartbeat_interval:g} s.",
            hint="After one late heartbeat, other workers would take over the claims of a worker "
            "that is alive.",
            id="outbox.E006",
        )
    elif conf.lease_duration <= conf.heartbeat_interval + _database_patience(conf):
        yield checks.Warning(
            f'OUTBOX["LEASE_DURATION"] is {conf.lease_duration:g} s, and a heartbeat every '
            f"{conf.heartbeat_interval:g} s may wait up to {_database_patience(conf):g} s for the "
            "database.",
            hint="A worker that cannot renew its lease in time loses it, and the messages whose "
            "reply it was waiting for become uncertain. Use a longer lease or a shorter timeout.",
            id="outbox.W012",
        )


def _database_patience(conf: Conf) -> float:
    """Return how many seconds a statement may wait for a lock, according to the settings."""
    database = settings.DATABASES.get(conf.database, {})
    if not database.get("ENGINE", "").endswith(SQLITES):
        return 0
    return float(database.get("OPTIONS", {}).get("timeout", PATIENCE))


def _broker(conf: Conf) -> Messages:
    url = _broker_url()
    if not url or url.startswith("memory:"):
        yield checks.Warning(
            "Celery has no broker in this process, so nothing wakes a worker when a message is "
            "queued.",
            hint="Set CELERY_BROKER_URL to your Redis, and import your Celery app in the project's "
            "__init__.py, as Celery's guide for Django shows. Or run outbox_deliver instead of "
            "worker and beat, and silence this warning.",
            id="outbox.W007",
        )
    elif not _schedules() and not _schedule_is_elsewhere():
        yield checks.Warning(
            f"Celery's beat schedule has no {SWEEP!r}, so scheduled and deferred messages, and the "
            "claims of a dead worker, wait until another message is queued.",
            hint='CELERY_BEAT_SCHEDULE = {"sweep": {"task": "outbox.sweep", "schedule": 5.0}}',
            id="outbox.W008",
        )


def _celery_conf() -> object:
    """Return the settings of the project's Celery app, or None if it has none in this process.

    Importing Celery takes as long as all other checks together, and every command runs them.
    """
    if "celery" not in sys.modules and not os.environ.get("CELERY_BROKER_URL"):
        return None
    return wakeup.celery_app().conf


def _broker_url() -> str:
    url: object = getattr(_celery_conf(), "broker_url", "")  # typed as str; it may be a list
    return str(url[0] if isinstance(url, (list, tuple)) else url or "")


def _schedule_is_elsewhere() -> bool:
    """Return whether django-celery-beat stores the schedule in the database, unseen by checks."""
    return "django_celery_beat" in str(getattr(_celery_conf(), "beat_scheduler", ""))


def _schedules() -> list[object]:
    """Return the entries for the sweep in beat's schedule."""
    entries = (getattr(_celery_conf(), "beat_schedule", None) or {}).values()
    return [entry.get("schedule") for entry in entries if entry.get("task") == SWEEP]


def _sweep(conf: Conf) -> Messages:
    by_beat = min(map(_interval, _schedules()), default=0)
    intervals = {"Celery's beat schedule": by_beat, 'OUTBOX["SWEEP_INTERVAL"]': conf.sweep_interval}
    for where, seconds in intervals.items():
        if seconds > conf.lease_duration:
            yield checks.Warning(
                f"{where} runs the sweep every {seconds:g} s, but a lease ends after "
                f"{conf.lease_duration:g} s. The claims of a dead worker, messages without a "
                "wake-up and webhook calls wait for the sweep.",
                hint="Sweep every few seconds. A sweep is a few queries, each on an index.",
                id="outbox.W015",
            )


def _expiry(conf: Conf) -> Messages:
    entries = (getattr(_celery_conf(), "beat_schedule", None) or {}).values()
    options = [entry.get("options") or {} for entry in entries if entry.get("task") == SWEEP]
    if any("expires" in one for one in options):
        yield checks.Warning(
            "The sweep in Celery's beat schedule has the option `expires`. A worker whose clock is "
            "ahead of beat's discards every sweep.",
            hint="Remove `expires`. A sweep that runs late does no harm.",
            id="outbox.W031",
        )


def _interval(when: object) -> float:
    """Return the longest time between two sweeps in seconds, 0 if it is unknown."""
    from celery.schedules import crontab, schedule

    match when:
        case int() | float():
            return when
        case dt.timedelta():
            return when.total_seconds()
        case schedule():
            return when.seconds
        case crontab():  # its hours and days may extend the time
            minutes: list[int] = sorted(when.minute)  # type: ignore[attr-defined]  # stubs lack it
            return 60 * max(b - a for a, b in pairwise([*minutes, minutes[0] + 60]))
    return 0


def _sqlite(conf: Conf) -> Messages:
    engine = settings.DATABASES.get(conf.database, {}).get("ENGINE", "")
    host = urlsplit(_broker_url()).hostname or ""
    if engine.endswith(SQLITES) and host not in _LOCAL_HOSTS:
        yield _several_hosts(f"this host and {host}, where the broker is,")


def _several_hosts(hosts: str) -> checks.CheckMessage:
    return checks.Warning(
        f"The outbox is a SQLite file, but {hosts} seem to use it.",
        hint="SQLite is safe for the processes of one host only. Use PostgreSQL for several hosts.",
        id="outbox.W009",
    )


def _alerts(conf: Conf) -> Messages:
    for name, handler in sorted(getattr(settings, "LOGGING", {}).get("handlers", {}).items()):
        if handler.get("class") == ADMIN_HANDLER and _backend_of(handler) == BACKEND:
            yield checks.Warning(
                f"The log handler {name!r} sends its alerts through the outbox itself, so an "
                "alert about failing deliveries is not delivered either.",
                hint="Configure another email_backend for the handler (Django 6.1: using), or a "
                "second kind of alert.",
                id="outbox.W010",
            )


def _backend_of(handler: Mapping[str, Any]) -> str:
    """Return the dotted path of the email backend of a log handler."""
    mailers = getattr(settings, "MAILERS", None)  # Django 6.1 has these …
    if mailers is not None:
        return str(mailers.get(handler.get("using") or "default", {}).get("BACKEND", ""))
    if named := handler.get("email_backend"):
        return str(named)
    # … and warns if this one is read, which a project that does not set it cannot avoid.
    return str(settings.EMAIL_BACKEND) if is_set("EMAIL_BACKEND") else ""


SETTINGS_CHECKS: tuple[Callable[[Conf], Messages], ...] = (
    _time_zones,
    _secret_keys,
    _database,
    _other_databases,
    _networks,
    _storage,
    _sender_domains,
    _ehlo_name,
    _reply_rules,
    _mx_shaping,
    _lease,
    _broker,
    _sweep,
    _expiry,
    _sqlite,
    _alerts,
)
