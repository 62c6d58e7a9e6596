"""The outbox's own settings: the `OUTBOX` dict of Django's settings, read once and typed.

Each setting is a field below with its default and its meaning; an unknown key is refused, so that a
misspelt name cannot be silently ignored.
"""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """Durations are seconds, sizes are bytes."""

    database: str = "default"  # alias of the database that holds the outbox's rows
    on_other_database: str = ""  # mail sent in a transaction of another one: "queue" it at once
    # (also what "" does), or "wait" for that commit and lose it if killed between the two
    prepare_statements: bool = True  # off behind a PostgreSQL pooler that cannot keep them
    storage: str = "default"  # alias of the storage that holds large sources and attachments
    secret_keys: tuple[str, ...] = ()  # Fernet keys; the first encrypts, every one decrypts
    allow_private_hosts: bool = False  # may users' accounts name loopback and private hosts
    autoconfig: str = "dns https"  # what is asked about the domain of a new account; empty: nothing
    redis_url: str = ""  # where the bell keeps its mark; empty: Celery's broker
    celery_queue: str = ""  # the Celery queue of the bell; empty: the project's default queue

    ehlo_name: str = ""  # name given in EHLO; empty: this host's
    message_id_domain: str = ""  # right side of Message-ID; empty: the sender's domain
    ca_file: str = ""  # further certificate authorities for SMTP over TLS (PEM)
    pipelining: bool = True  # use PIPELINING where it is offered
    chunking: bool = True  # use CHUNKING where it is offered

    max_message_bytes: int = 25_000_000  # attachments and text of one mail, as uploaded
    inline_source_bytes: int = 256_000  # larger sources go to storage
    undo_for: float = 10  # how long a mail composed in the browser can be taken back

    lease_for: float = 30  # a worker that is silent for so long has lost its mail
    heartbeat_every: float = 5  # how often a worker says that it lives
    sweep_every: float = 5  # how often `outbox_deliver` sweeps; otherwise beat's schedule says
    poll_every: float = 1  # how often a worker's engine looks for due mail unrung
    claim_size: int = 100  # recipients taken in one claim, at most
    recipients_per_transaction: int = 50  # RCPT commands in one transaction, at most

    queue_lifetime: float = 5 * 86_400  # age at which we give up
    attempts_max: int = 60  # tries after which we give up, whatever the age
    backoff_first: float = 60  # wait before the second try
    backoff_factor: float = 2  # by which each wait is longer than the one before
    backoff_max: float = 4 * 3600  # longest wait
    backoff_jitter: float = 0.2  # random share added to and taken from each wait
    retry_after_max: float = 6 * 3600  # bound on a server's "try again in"

    circuit_opens_after: int = 3  # connection faults in a row that open a route's circuit
    circuit_first: float = 10  # first pause of an open circuit; doubles
    circuit_max: float = 900  # longest pause

    session_max_messages: int = 500  # mails sent over one connection, at most
    session_max_age: float = 300  # age at which a connection takes no further mail
    session_max_idle: float = 8  # how long a connection waits for another mail

    connect_timeout: float = 30  # for one address of a server to answer
    greeting_timeout: float = 300  # for the server's first line (RFC 5321 4.5.3.2, as those below)
    command_timeout: float = 300  # for a reply to EHLO, MAIL, RCPT and others
    tls_timeout: float = 60  # for the TLS handshake
    auth_timeout: float = 120  # each step of a login
    data_timeout: float = 120  # for the reply to DATA
    block_timeout: float = 180  # for a block of the mail to leave
    dot_timeout: float = 600  # for the reply to the whole mail
    quit_timeout: float = 5  # for the reply to QUIT
    shutdown_for: float = 20  # how long a stopping worker lets conversations end

    webhook_private_hosts: bool = False  # may webhooks call loopback and private hosts
    failure_addresses: tuple[str, ...] = ()  # told of failed messages of apps; empty: the staff
    failure_digest_wait: float = 60  # how long failures are collected for one email
    failure_digest_every: float = 900  # shortest time between two such emails to one person
    site_url: str = ""  # start of the links in emails, "https://mail.example.com"; empty: no links

    webhook_call_lifetime: float = 30 * 86_400  # age at which a call taken or given up is deleted


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings given as OUTBOX_<NAME>, for a site that is configured by its environment.

    Raises ImproperlyConfigured naming a variable whose value does not fit its type.
    """
    found: dict[str, Any] = {}
    for field in fields(Conf):
        variable = f"OUTBOX_{field.name.upper()}"
        text = environ.get(variable, "")
        if text and field.type in _READABLE:  # by its type: the default of a duration may be whole
            try:
                found[field.name.upper()] = _read(field.type, text)
            except ValueError as error:
                raise ImproperlyConfigured(f"{variable} is {text!r}: {error}.") from error
    return found


_READABLE = (bool, int, float, str, tuple[str, ...])


def _read(kind: Any, text: str) -> Any:
    if kind is bool:
        words = {"on": True, "true": True, "1": True, "yes": True}
        words |= {"off": False, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise ValueError("not one of on, off")
        return words[text.lower()]
    if kind == tuple[str, ...]:
        return _texts(text)
    return kind(text)


@lru_cache(maxsize=1)
def get_conf() -> Conf:
    """Return the settings in force. Raises ImproperlyConfigured on what they cannot be."""
    given: dict[str, Any] = getattr(django_settings, "OUTBOX", {})
    known = {field.name.upper(): field for field in fields(Conf)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ImproperlyConfigured(f"OUTBOX has no setting named {', '.join(unknown)}.")
    return Conf(**{known[key].name: _checked(known[key], given[key]) for key in given})


def _checked(field: "Field[Any]", value: Any) -> Any:
    if field.name == "secret_keys":
        return _keys(value)
    if field.type == tuple[str, ...]:
        return _texts(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    kind: Any = (int, float) if field.type is float else field.type
    if kind is str and (value is None or value is False):
        return ""  # what an empty text means, in other words
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = "True or False" if kind is bool else "a text" if kind is str else "a number"
        name = field.name.upper()
        raise ImproperlyConfigured(f'OUTBOX["{name}"] is {value!r}, and should be {wanted}.')
    return value


def _keys(value: Any) -> tuple[str, ...]:
    """Take one key, several with commas between as the environment gives them, or a list."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        value = [key for key in value.replace(" ", "").split(",") if key]
    if not isinstance(value, (list, tuple)):
        raise ImproperlyConfigured('OUTBOX["SECRET_KEYS"] should be a list of Fernet keys.')
    return tuple(value)


def is_set(name: str) -> bool:
    """Return whether the project sets this setting of Django's, or it only has its default."""
    return bool(django_settings.is_overridden(name))  # type: ignore[misc]  # the stubs lack it


def _texts(value: Any) -> tuple[str, ...]:
    """Read several texts: a list, or one text with commas between them."""
    if isinstance(value, str):
        value = [piece.strip() for piece in value.split(",") if piece.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ImproperlyConfigured(f"{value!r} should be a list of texts.")
    return tuple(value)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "OUTBOX":
        get_conf.cache_clear()


setting_changed.connect(_forget, dispatch_uid="outbox.conf")
