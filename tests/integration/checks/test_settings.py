"""Every common mistake in the settings has a check with a hint; a good configuration passes."""

import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import django
import pytest
from celery import current_app
from celery.schedules import BaseSchedule, crontab, schedule
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.core import checks

from outbox import wakeup
from outbox.checks import check_settings
from outbox.conf import RENAMED, Conf, get_conf
from outbox.mx_shaping import usable_overrides

OURS = "outbox.backend.EmailBackend"
ELSEWHERE = "django.core.mail.backends.smtp.EmailBackend"
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "outbox"}
SQLITE: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "outbox.sqlite3"}
SWEEP = {"sweep": {"task": "outbox.sweep", "schedule": 5.0}}
LOCAL_REDIS = "redis://127.0.0.1:6379/0"


@pytest.fixture(autouse=True)
def _a_good_set_up(settings: LazySettings) -> Iterator[None]:
    celery = {name: current_app.conf[name] for name in ("broker_url", "beat_schedule")}
    celery["beat_scheduler"] = current_app.conf.beat_scheduler
    settings.OUTBOX = {**settings.OUTBOX, "ON_OTHER_DATABASE": "queue"}
    settings.LOGGING = {}
    current_app.conf.update(broker_url=LOCAL_REDIS, beat_schedule=SWEEP)
    yield
    current_app.conf.update(celery)


def found() -> list[str | None]:
    """Ids of what the checks say; each has a hint."""
    messages = check_settings(None)
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def test_a_good_configuration_passes() -> None:
    assert found() == []


def test_a_project_without_time_zones_has_an_error(settings: LazySettings) -> None:
    settings.USE_TZ = False

    assert found() == ["outbox.E019"]


REPLY_RULE = """
[[rules]]
id = "site"
kind = "recipient"
effect = "soft"
words = ["mailbox is over"]
examples = ["550 The mailbox is over its limit"]
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REPLY_RULE, ""),
        (REPLY_RULE.replace('["mailbox is over"]', '"mailbox is over"'), "list of texts"),
        (
            REPLY_RULE.replace('["mailbox is over', '["mailbox is under'),
            "does not match its example",
        ),
        ("no table", "not TOML"),
        (None, "No such file"),
    ],
)
def test_an_invalid_file_of_reply_rules_is_an_error(
    text: str | None, said: str, settings: LazySettings, tmp_path: Path
) -> None:
    path = tmp_path / "rules.toml"
    if text is not None:
        path.write_text(text)
    settings.OUTBOX = {**settings.OUTBOX, "REPLY_RULES": str(path)}

    assert found() == (["outbox.E020"] if said else [])
    if said:
        (message,) = check_settings(None)
        assert str(path) in message.msg
        assert said in message.msg


def test_a_broker_of_the_app_alone_is_found_in_every_thread(settings: LazySettings) -> None:
    """Celery's current app is that of the main thread; a development server checks in another."""
    settings.CELERY_BROKER_URL = ""
    wakeup.remember_app()
    results: list[list[str | None]] = []
    thread = threading.Thread(target=lambda: results.append(found()))
    thread.start()
    thread.join()

    assert results == [[]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"LEASE_FRO": 30}, "outbox.E001", id="an unknown setting"),
        pytest.param({"SECRET_KEYS": ["short"]}, "outbox.E002", id="a malformed key"),
        pytest.param({"SECRET_KEYS": "short"}, "outbox.E002", id="a malformed key, alone"),
        pytest.param({"SECRET_KEYS": []}, "outbox.W003", id="no key"),
        pytest.param({"SECRET_KEYS": 7}, "outbox.E001", id="a key of a wrong type"),
        pytest.param({"LEASE_DURATION": "30"}, "outbox.E001", id="a text for a duration"),
        pytest.param({"CLAIM_SIZE": 1.5}, "outbox.E001", id="a part of a recipient"),
        pytest.param({"CHUNKING": "off"}, "outbox.E001", id="a word for False"),
        pytest.param({"DATABASE": "mail"}, "outbox.E004", id="an unknown database"),
        pytest.param({"STORAGE": "mail"}, "outbox.E005", id="an unknown storage"),
        pytest.param(
            {"LEASE_DURATION": 9, "HEARTBEAT_INTERVAL": 5}, "outbox.E006", id="a short lease"
        ),
        pytest.param({"TRUSTED_PROXIES": ["10.0.0.1/8"]}, "outbox.E018", id="host bits set"),
        pytest.param({"METRICS_NETWORKS": ["unix"]}, "outbox.E018", id="not for metrics"),
        pytest.param({"DNS_SERVERS": ["ns.example"]}, "outbox.E021", id="no DNS address"),
        pytest.param({"DNS_SERVERS": ["192.0.2.1:70000"]}, "outbox.E021", id="no DNS port"),
        pytest.param({"SENDING_ADDRESSES": ["192.0.2"]}, "outbox.E021", id="no IP address"),
        pytest.param({"BLOCKLISTS": ["https://list.example"]}, "outbox.E021", id="no DNS zone"),
        pytest.param({"PORT_25_SERVER": "mx.example:smtp"}, "outbox.E021", id="no port"),
        pytest.param({"PORT_25_SERVER": "mx..example"}, "outbox.E021", id="an empty label"),
        pytest.param({"PORT_25_SERVER": "mx.example:99999"}, "outbox.E021", id="a large port"),
        pytest.param({"ON_OTHER_DATABASE": "never"}, "outbox.E011", id="an unknown choice"),
        pytest.param({"EHLO_NAME": "my server"}, "outbox.W030", id="a name with a space"),
        pytest.param({"EHLO_NAME": "a.test\r\nRSET"}, "outbox.W030", id="a name of two lines"),
    ],
)
def test_outbox_has(given: dict[str, Any], expected: str, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, **given}

    assert found() == [expected]


def test_settings_for_checks_of_sender_domains_pass(settings: LazySettings) -> None:
    settings.OUTBOX = {
        **settings.OUTBOX,
        "DNS_SERVERS": ["192.0.2.53", "[2001:db8::53]:5353"],
        "SENDING_ADDRESSES": ["192.0.2.1", "2001:db8::1"],
        "BLOCKLISTS": ["zen.spamhaus.org"],
        "PORT_25_SERVER": "mx.example.net:25",
    }

    assert found() == []


def test_the_former_name_of_a_setting_is_an_error_that_has_the_new_name(
    settings: LazySettings,
) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "LEASE_FOR": 30, "POLL_EVERY": 1}

    (error,) = check_settings(None)

    assert error.id == "outbox.E001"
    assert (
        "LEASE_FOR is now named LEASE_DURATION, POLL_EVERY is now named POLL_INTERVAL" in error.msg
    )


def test_no_key_and_no_url_is_shown(settings: LazySettings) -> None:
    settings.OUTBOX = {
        "SECRET_KEYS": [Fernet.generate_key().decode()],
        "REDIS_URL": "redis://:red-secret@cache/0",
        "SITE_URL": "https://user:site-secret@mail.example.com",
        "CLAIM_SIZE": 7,
    }
    shown = repr(get_conf()) + str(get_conf())
    assert settings.OUTBOX["SECRET_KEYS"][0] not in shown
    assert "secret@" not in shown
    assert "claim_size=7" in shown


def test_former_names_are_not_in_use() -> None:
    names = {field.name for field in fields(Conf)}

    assert set(RENAMED.values()) <= names
    assert not names & set(RENAMED)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("{0}", id="one, and no list"),
        pytest.param("{0}, {1}", id="several, as the environment gives them"),
        pytest.param(b"{0}", id="as generate_key() gives it"),
    ],
)
def test_keys_may_be_one_text(given: str | bytes, settings: LazySettings) -> None:
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    text = (given.decode() if isinstance(given, bytes) else given).format(*keys)
    settings.OUTBOX = {
        **settings.OUTBOX,
        "SECRET_KEYS": text.encode() if isinstance(given, bytes) else text,
    }

    assert found() == []
    assert ",".join(get_conf().secret_keys) == text.replace(" ", "")


def test_a_file_may_be_a_path(settings: LazySettings, tmp_path: Path) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "CA_FILE": tmp_path / "ca.pem"}

    assert get_conf().ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize("nothing", [None, False, ""])
def test_a_text_may_be_nothing(nothing: object, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "AUTOCONFIG": nothing}

    assert get_conf().autoconfig == ""


@pytest.mark.parametrize("keys", [["short"], ["€" * 43 + "="], [b"bytes"]], ids=repr)
def test_a_key_is_named_by_its_position_and_never_shown(
    keys: list[Any], settings: LazySettings
) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "SECRET_KEYS": [*settings.OUTBOX["SECRET_KEYS"], *keys]}

    (message,) = check_settings(None)

    assert message.msg.endswith("in place 2.")


def test_a_lease_of_two_heartbeats_is_long_enough(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", POSTGRESQL)
    settings.OUTBOX = {**settings.OUTBOX, "LEASE_DURATION": 10, "HEARTBEAT_INTERVAL": 5}

    assert found() == []


@pytest.mark.parametrize(
    ("options", "lease_duration", "expected"),
    [
        pytest.param({"timeout": 60}, 30, ["outbox.W012"], id="a patient database"),
        pytest.param({"timeout": 25}, 30, ["outbox.W012"], id="one just as long"),
        pytest.param({"timeout": 24}, 30, [], id="one a little shorter"),
        pytest.param({}, 20, ["outbox.W012"], id="a short lease, and what we wait unasked"),
    ],
)
def test_a_lease_outlasts_what_a_heartbeat_may_wait(
    options: dict[str, Any],
    lease_duration: float,
    expected: list[str],
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", SQLITE | {"OPTIONS": options})
    settings.OUTBOX = {**settings.OUTBOX, "LEASE_DURATION": lease_duration, "HEARTBEAT_INTERVAL": 5}

    assert found() == expected


@pytest.mark.parametrize(
    ("root", "options", "expected"),
    [
        pytest.param("", {}, ["outbox.W014"], id="no MEDIA_ROOT"),
        pytest.param("/srv/media", {}, [], id="a MEDIA_ROOT"),
        pytest.param("", {"location": "/srv/mail"}, [], id="a folder of its own"),
    ],
)
def test_large_messages_have_a_storage(
    root: str, options: dict[str, str], expected: list[str], settings: LazySettings
) -> None:
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": backend, "OPTIONS": options}}
    settings.MEDIA_ROOT = root

    assert found() == expected


@pytest.mark.parametrize(
    ("celery", "expected"),
    [
        pytest.param({"broker_url": None}, ["outbox.W007"], id="no broker"),
        pytest.param(
            {"beat_schedule": {"sweep": {**SWEEP["sweep"], "options": {"expires": 15}}}},
            ["outbox.W031"],
            id="a sweep that expires",
        ),
        pytest.param({"broker_url": "memory://"}, ["outbox.W007"], id="a broker in memory"),
        pytest.param({"beat_schedule": {}}, ["outbox.W008"], id="no sweep"),
        pytest.param(
            {"beat_schedule": {"other": {"task": "other", "schedule": 5.0}}},
            ["outbox.W008"],
            id="another task only",
        ),
        pytest.param(
            {
                "beat_schedule": {},
                "beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler",
            },
            [],
            id="a schedule in the database",
        ),
    ],
)
def test_celery_has(celery: dict[str, Any], expected: list[str]) -> None:
    current_app.conf.update(celery)

    assert found() == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        pytest.param(30, [], id="as long as the lease"),
        pytest.param(31.0, ["outbox.W015"], id="a number"),
        pytest.param(dt.timedelta(minutes=5), ["outbox.W015"], id="a timedelta"),
        pytest.param(schedule(dt.timedelta(seconds=5)), [], id="a schedule, often"),
        pytest.param(schedule(300), ["outbox.W015"], id="a schedule"),
        pytest.param(crontab(), ["outbox.W015"], id="every minute"),
        pytest.param(crontab(hour=3), ["outbox.W015"], id="every minute of an hour"),
        pytest.param(BaseSchedule(), [], id="an unknown schedule"),
    ],
)
def test_a_sweep_comes_as_often_as_leases_end(when: object, expected: list[str]) -> None:
    current_app.conf.beat_schedule = {"sweep": {"task": "outbox.sweep", "schedule": when}}

    assert found() == expected


def test_the_most_frequent_of_several_sweeps_counts() -> None:
    current_app.conf.beat_schedule = SWEEP | {"also": {"task": "outbox.sweep", "schedule": 3600}}

    assert found() == []


def test_a_crontab_is_as_rare_as_its_longest_gap(settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "LEASE_DURATION": 20 * 60}
    for minutes, expected in (("*/20", []), ("0,20,39", ["outbox.W015"]), ("7", ["outbox.W015"])):
        entry = {"task": "outbox.sweep", "schedule": crontab(minute=minutes)}
        current_app.conf.beat_schedule = {"sweep": entry}

        assert found() == expected


def test_outbox_deliver_sweeps_as_often(settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "SWEEP_INTERVAL": 60}

    assert found() == ["outbox.W015"]


@pytest.mark.parametrize(
    ("database", "broker", "expected"),
    [
        pytest.param(SQLITE, "redis://redis.example:6379/0", ["outbox.W009"], id="SQLite, far"),
        pytest.param(SQLITE, "redis://localhost:6379/0", [], id="SQLite, near"),
        pytest.param(SQLITE, "redis+socket:///run/redis.sock", [], id="SQLite, by a socket"),
        pytest.param(POSTGRESQL, "redis://redis.example:6379/0", [], id="PostgreSQL, far"),
    ],
)
def test_several_hosts_may_not_share(
    database: dict[str, str],
    broker: str,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: LazySettings,
) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", database)
    current_app.conf.update(broker_url=broker)

    assert found() == expected


@pytest.mark.parametrize(
    ("default", "named", "expected"),
    [
        pytest.param(OURS, None, ["outbox.W010"], id="by the default"),
        pytest.param(OURS, OURS, ["outbox.W010"], id="by name"),
        pytest.param(OURS, ELSEWHERE, [], id="by another backend"),
        pytest.param(ELSEWHERE, None, [], id="by another default"),
        pytest.param(ELSEWHERE, OURS, ["outbox.W010"], id="by name, beside another default"),
    ],
)
def test_alerts_about_mail_leave(
    default: str, named: str | None, expected: list[str], settings: LazySettings
) -> None:
    handler = {"class": "django.utils.log.AdminEmailHandler"}
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": default}, "named": {"BACKEND": named}}
        chosen = {"using": "named"}
    else:
        settings.EMAIL_BACKEND = default
        chosen = {"email_backend": str(named)}
    settings.LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"mail": handler | (chosen if named else {})},
    }

    assert found() == expected


def test_several_databases_want_a_choice(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.DATABASES, "other", SQLITE)
    settings.OUTBOX = {**settings.OUTBOX, "ON_OTHER_DATABASE": ""}

    assert found() == ["outbox.W011"]


def test_django_runs_them() -> None:
    assert check_settings in checks.registry.registry.get_checks()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["example.net"]\nconnections = 2\n', ""),
        ('["example.net"]\nconnections = 0\n', "connections is not a number"),
        ("no table", "Expected"),
        (None, "No such file"),
    ],
)
def test_an_invalid_file_of_shaping_is_an_error(
    text: str | None, said: str, settings: LazySettings, tmp_path: Path
) -> None:
    path = tmp_path / "shaping.toml"
    if text is not None:
        path.write_text(text)
    settings.OUTBOX = {**settings.OUTBOX, "MX_SHAPING": str(path)}

    assert found() == (["outbox.E022"] if said else [])
    if said:
        (message,) = check_settings(None)
        assert str(path) in message.msg
        assert said in message.msg
    assert bool(usable_overrides()) == (said == "")
