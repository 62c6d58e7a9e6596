"""The outbox's own settings: the `OUTBOX` dict of Django's settings, read once and typed.

Each setting is a field below, with its default and its meaning. An unknown key raises an error, so
that a misspelled name is not silently ignored. So does the former name of a renamed setting.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


def _limit(default: int, counted: str, *, per: str) -> Any:
    """Return the field of a limit: how many of what is counted a message or user may have."""
    return dataclasses.field(default=default, metadata={"counted": counted, "per": per})


# Each method that the decorator generates names all fields, and takes a millisecond to compile.
@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Conf:
    """Durations are in seconds, sizes in bytes. The limits are listed by `limits`."""

    database: str = "default"  # alias of the database with the outbox's tables
    on_other_database: str = ""  # for a message queued inside a transaction of another database:
    # "queue" it at once (as ""), or "wait" for that commit; a crash between the commits loses it
    prepare_statements: bool = True  # turn off for a PostgreSQL pooler without prepared statements
    storage: str = "default"  # alias of the storage for large sources and attachments
    secret_keys: tuple[str, ...] = ()  # Fernet keys; the first one encrypts, all of them decrypt
    allow_private_hosts: bool = False  # allow users' accounts on loopback and private hosts
    trusted_proxies: tuple[str, ...] = ()  # networks of proxies whose X-Forwarded-For is used;
    # "unix" is a Unix socket
    reauthenticate_after: float = 900  # how long after a sign-in secrets, shares and many
    # messages can be changed without entering the password again; 0: for any time
    account_ports: tuple[str, ...] = (
        "25",
        "465",
        "587",
        "2525",
    )  # ports that users may enter for a
    # server; with `allow_private_hosts`, and in the admin, any port
    sharing_needs_permission: bool = False  # only users with `share_account` share accounts
    sender_domains: tuple[
        str, ...
    ] = ()  # domains of senders of users' accounts; empty: any domain.
    # In the admin, staff set other domains for one account
    autoconfig: str = "dns https"  # how the servers of a new account are looked up; empty: not
    google_client_id: str = ""  # OAuth 2 client of this site at Google
    google_client_secret: str = ""  # its secret; one that is entered in the admin comes first
    microsoft_client_id: str = ""  # OAuth 2 client (application) of this site at Microsoft
    microsoft_client_secret: str = ""  # its secret; one that is entered in the admin comes first
    microsoft_tenant: str = ""  # id or domain of the directory; empty: any Microsoft account
    token_provider: str = ""  # dotted path of a callable that returns the access token of an
    # account, or None for the usual way; for sites that hold tokens already
    redis_url: str = ""  # Redis that records pending wake-ups; empty: Celery's broker
    celery_queue: str = ""  # Celery queue of the wake-ups; empty: the project's default queue

    ehlo_name: str = ""  # name sent in EHLO; empty: the name of this host
    message_id_domain: str = ""  # right side of Message-ID; empty: the sender's domain
    dns_servers: tuple[str, ...] = ()  # that direct delivery and checks of sender domains ask, as
    # "address" or "address:port"; empty: those of the system
    trusted_dns_servers: tuple[
        str, ...
    ] = ()  # addresses of DNS servers, besides those on loopback,
    # whose statement that DNSSEC validated a record is believed
    mx_port: int = 25  # port of the servers that direct delivery connects to
    mx_shaping: str = ""  # TOML file with the site's own limits for direct delivery, by MX suffix
    sending_addresses: tuple[str, ...] = ()  # IP addresses that messages come from, for checks of
    # the domains that the site itself sends for: SPF, PTR, EHLO name and blocklists
    blocklists: tuple[str, ...] = ()  # DNS zones of blocklists that are asked about these addresses
    port_25_server: str = ""  # server, as "host" or "host:port", that checks of sender domains
    # connect to, to find out whether port 25 is open from here; empty: not checked
    domain_check_interval: float = 3_600  # time between two checks of the DNS of the domains of
    # active accounts; 0: only on request
    tls_report_organization: str = ""  # name in the daily reports on TLS to the domains that ask
    # for them (RFC 8460), which direct delivery makes; empty: no report is sent
    tls_report_contact: str = ""  # email address in these reports; empty: that of the account
    ca_file: str = ""  # certificate authorities for SMTP, besides those of the system (PEM)
    pipelining: bool = True  # use PIPELINING if the server supports it
    chunking: bool = True  # use CHUNKING if the server supports it
    reply_rules: str = ""  # TOML file with the site's own rules for replies and bounces, which are
    # applied before the built-in ones

    max_recipients: int = _limit(1_000, "recipients", per="message")  # To, Cc and Bcc together
    max_address_field: int = _limit(100_000, "characters", per="message")  # each of the fields To,
    # Cc, Bcc and Reply-To: all of its addresses and names together
    max_subject: int = _limit(10_000, "characters", per="message")  # subject
    max_text: int = _limit(1_000_000, "characters", per="message")  # text that a user types, and
    # each part of a message that a user's template makes
    max_attachments: int = _limit(200, "attachments", per="message")  # files and pictures
    max_message_bytes: int = _limit(25_000_000, "bytes", per="message")  # attachments and text, as
    # uploaded
    max_headers: int = _limit(100, "header fields", per="message")  # header fields that an app
    # adds
    max_header: int = _limit(100_000, "characters", per="message")  # value of one header field
    # that an app adds
    max_metadata: int = _limit(100_000, "characters", per="message")  # metadata, and tags, as JSON
    max_template: int = _limit(200_000, "characters", per="template")  # subject, text and HTML:
    # each part of a template
    max_placeholders: int = _limit(200, "placeholders", per="template")  # different placeholders
    # in the template of a user
    max_signature: int = _limit(10_000, "characters", per="account")  # signature of an account, and
    # that of a user's preferences
    max_request_bytes: int = _limit(32_000_000, "bytes", per="request")  # body of one request of a
    # signed-in user to a page that takes files
    max_text_request_bytes: int = _limit(12_000_000, "bytes", per="request")  # the same to a page
    # that takes the text of a message or a template
    max_form_bytes: int = _limit(250_000, "bytes", per="request")  # the same to any other page, and
    # each form that is not multipart
    max_anonymous_request_bytes: int = _limit(100_000, "bytes", per="request")  # body of one
    # request of anyone else
    max_rows: int = _limit(1_000_000, "rows", per="call")  # rows of one `send_many`
    max_messages_per_hour: int = _limit(10_000, "messages", per="user")  # messages queued in the
    # last hour
    max_stored_bytes: int = _limit(5_000_000_000, "bytes", per="user")  # messages and attachments
    max_inbox_bytes: int = _limit(20_000_000_000, "bytes", per="user")  # received messages; beyond
    # it, fetching pauses until some are deleted permanently
    max_drafts: int = _limit(1_000, "drafts", per="user")  # drafts
    max_accounts: int = _limit(20, "accounts", per="user")  # accounts that the user owns
    max_templates: int = _limit(200, "templates", per="user")  # templates of the user
    max_contacts: int = _limit(10_000, "contacts", per="user")  # contacts; beyond it, recipients
    # are no longer added automatically

    memory_budget: int = 96_000_000  # bytes of message data that a worker may hold at a time
    inline_source_bytes: int = 256_000  # larger sources are kept in the storage
    detect_reset_links: bool = True  # treat a message with a link of Django's password reset as
    # sensitive: its content is shown nowhere, and erased when delivery ends
    undo_period: float = 10  # seconds in which a message sent from the browser can be undone

    lease_duration: float = 30  # seconds without a heartbeat before other workers may take over a
    # worker's claims
    heartbeat_interval: float = 5  # seconds between two heartbeats of a worker
    sweep_interval: float = 5  # seconds between sweeps of `outbox_deliver`; Celery beat has its own
    # schedule, and a worker sweeps by itself after three such intervals without a sweep
    poll_interval: float = 1  # seconds between polls for due messages when no wake-up arrives
    claim_size: int = 100  # maximum number of recipients in one claim
    max_connections_per_account: int = 100  # maximum number of connections of one account
    recipients_per_transaction: int = 50  # maximum number of RCPT commands in one SMTP transaction

    queue_lifetime: float = 5 * 86_400  # age at which a message that is not sent expires
    max_attempts: int = 60  # attempts after which a recipient expires, at any age
    backoff_initial: float = 60  # wait before the second attempt
    backoff_factor: float = 2  # factor from one wait to the next
    backoff_max: float = 4 * 3600  # longest wait between attempts
    backoff_jitter: float = 0.2  # random share by which each wait is shortened or extended
    retry_after_max: float = 6 * 3600  # upper limit for a wait that a server asks for

    circuit_threshold: int = 3  # consecutive connection faults that open a destination's circuit
    circuit_pause_initial: float = 10  # first pause of an open circuit; each further one doubles
    circuit_pause_max: float = 900  # longest pause of an open circuit

    session_max_messages: int = 500  # maximum number of messages per SMTP session
    session_max_age: float = 300  # age at which an SMTP session accepts no further messages
    session_max_idle: float = 8  # how long an idle SMTP session waits for another message

    connect_timeout: float = 30  # for connecting to one address of a server
    greeting_timeout: float = 300  # for the greeting (RFC 5321 4.5.3.2, like those below)
    command_timeout: float = 300  # for the reply to EHLO, MAIL, RCPT and other commands
    tls_timeout: float = 60  # for the TLS handshake
    auth_timeout: float = 120  # for each step of a login
    data_timeout: float = 120  # for the reply to DATA
    block_timeout: float = 180  # for sending one block of the message data
    dot_timeout: float = 600  # for the reply to the final dot
    quit_timeout: float = 5  # for the reply to QUIT
    storage_timeout: float = 60  # for reading one stored message; then it is deferred
    shutdown_timeout: float = 20  # how long a stopping worker waits for running SMTP transactions

    max_received_bytes: int = 50_000_000  # size of the largest message that is fetched; larger ones
    # stay on the server, and the mailbox says so
    fetch_concurrency: int = 4  # mailboxes that one worker process fetches at a time; 0: none
    fetch_ports: tuple[str, ...] = (
        "110",
        "143",
        "993",
        "995",
    )  # ports that users may enter for the server of a mailbox, as `account_ports`
    allow_apop: bool = False  # log in by APOP where the server offers it: the password is not sent,
    # but the server stores it readable
    suppress_bounced: bool = False  # suppress an address after a hard bounce, or several soft ones,
    # for the account that sent the message. An account may have a choice of its own
    suppress_soft_bounces: int = 3  # number of soft bounces, each of another message, after which
    # an address is suppressed; 0: never
    suppress_soft_window: float = 7 * 86_400  # time in which these bounces arrive
    suppress_complained: bool = True  # suppress an address if a provider notifies of a complaint
    report_address_window: float = 7 * 86_400  # time after an attempt in which a report without
    # any id is displayed with the message to the same address
    sns_topics: tuple[str, ...] = ()  # ARNs of the Amazon SNS topics whose notifications about
    # messages are accepted; empty: none

    webhook_allow_private_hosts: bool = False  # allow webhooks to loopback and private hosts
    webhook_allow_http: bool = False  # allow webhooks without TLS, besides those to loopback
    webhook_secret_overlap: float = 86_400  # how long calls are also signed with the former secret
    failure_addresses: tuple[str, ...] = ()  # get reports of apps' failed messages; empty: staff
    failure_digest_delay: float = 60  # how long failures are collected for one email
    failure_digest_interval: float = 900  # shortest time between two such emails to one person
    first_delay_report: float = 4 * 3600  # age at which a message that is not sent is reported to
    # its sender, if the sender requested that; 0: not
    second_delay_report: float = 86_400  # the same, for a second report
    site_url: str = ""  # start of links in emails, "https://mail.example.com"; empty: no links

    message_retention: float = 0  # age at which a finished message is deleted with all that belongs
    # to it, counted from the end of its delivery; 0: never. An account may have days of its own
    content_retention: float = 0  # the same for its content: source, attachments, snippet
    transcript_retention: float = 0  # the same for the conversations with the server
    webhook_call_retention: float = 30 * 86_400  # age at which a finished webhook call is deleted
    count_retention: float = 90 * 86_400  # age at which the counts of outcomes are deleted

    alarm_interval: float = 60  # time between two checks of the alarms by the sweeps of a host;
    # 0: only `outbox_check_health` checks
    alarm_clear_after: float = 120  # time without its condition after which an alarm is cleared
    alarm_worker_silent: float = 120  # alarm: no worker for this time; 0: off, for cron
    alarm_sweep_silent: float = 300  # alarm: no sweep, or none by Celery beat; 0: off
    alarm_oldest_due: float = 900  # alarm: a message is due for this time, and no circuit or limit
    # explains it; 0: off
    alarm_blocked_after: float = 300  # alarm: an account needs attention for this time; 0: off
    alarm_server_down: float = 3_600  # alarm: a server is unavailable for this time; 0: off
    alarm_failure_rate: float = 0.3  # alarm: share of deliveries that failed or bounced; 0: off
    alarm_failure_window: float = 3_600  # time of the deliveries that this rate is about
    alarm_failure_min: int = 20  # number of recipients below which a rate means nothing
    alarm_uncertain_after: float = 3_600  # alarm: a recipient is uncertain for this time, and waits
    # for a person; 0: off
    alarm_clock_skew: float = 5  # alarm: the clocks of a host and the database differ; 0: off
    alarm_disk_free: int = 1 << 30  # alarm: free bytes of the storage and of a SQLite file;
    # critical below a quarter of it; 0: off
    alarm_sender_domain: bool = True  # alarm: a check of a domain of the site has a new error
    alarm_tls_reports: int = 3  # alarm: so many domains did not accept their TLS reports by POST,
    # and no other domain accepted one; 0: off
    alarm_url: str = ""  # gets alarms as JSON by POST; empty: no HTTP call
    alarm_secret: str = ""  # signs these calls as webhooks are signed; empty: no signature
    alarm_allow_private_hosts: bool = False  # allow an `alarm_url` on loopback and private hosts
    alarm_command: tuple[str, ...] = ()  # program and arguments, run without a shell; gets the
    # same JSON on its standard input
    alarm_addresses: tuple[str, ...] = ()  # get an email as well, which depends on the queue
    alarm_timeout: float = 10  # for a notification
    alarm_repeat: float = 4 * 3600  # time between two notifications of an open alarm
    alarm_retention: float = 30 * 86_400  # age at which a cleared alarm is deleted
    metrics_token: str = ""  # bearer token for the metrics; empty: no token works
    metrics_networks: tuple[str, ...] = ()  # networks whose clients read the metrics without one

    def __repr__(self) -> str:
        """Return the settings that differ from their defaults. Keys and URLs are masked."""
        given = {
            field.name: "***" if field.name in _SECRET else getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        return f"Conf({', '.join(f'{name}={value!r}' for name, value in given.items())})"


_SECRET = frozenset(
    {
        "secret_keys",
        "redis_url",
        "site_url",
        "alarm_url",
        "alarm_secret",
        "google_client_secret",
        "microsoft_client_secret",
    }
)  # URLs may contain a password


def limits() -> "list[Field[Any]]":
    """Return the settings that are limits. The metadata says what is counted, and per what."""
    return [one for one in fields(Conf) if "counted" in one.metadata]


RENAMED = {
    "undo_for": "undo_period",
    "lease_for": "lease_duration",
    "heartbeat_every": "heartbeat_interval",
    "sweep_every": "sweep_interval",
    "poll_every": "poll_interval",
    "attempts_max": "max_attempts",
    "backoff_first": "backoff_initial",
    "circuit_opens_after": "circuit_threshold",
    "circuit_first": "circuit_pause_initial",
    "circuit_max": "circuit_pause_max",
    "shutdown_for": "shutdown_timeout",
    "webhook_private_hosts": "webhook_allow_private_hosts",
    "failure_digest_wait": "failure_digest_delay",
    "failure_digest_every": "failure_digest_interval",
    "webhook_call_lifetime": "webhook_call_retention",
}


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings given as OUTBOX_<NAME>, for a site that is configured by its environment.

    Raise ImproperlyConfigured if a value does not fit its type or a variable has a former name.
    """
    prefix = "OUTBOX_"
    _refuse_former_names(name.removeprefix(prefix) for name in environ if name.startswith(prefix))
    found: dict[str, Any] = {}
    for field in fields(Conf):
        variable = f"OUTBOX_{field.name.upper()}"
        text = environ.get(variable, "")
        # The type decides: the default of a duration may be a whole number.
        if text and field.type in _READABLE:
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
    """Return the settings in force. Raise ImproperlyConfigured if one of them is invalid."""
    given: dict[str, Any] = getattr(django_settings, "OUTBOX", {})
    known = {field.name.upper(): field for field in fields(Conf)}
    _refuse_former_names(given)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ImproperlyConfigured(f"OUTBOX has no setting named {', '.join(unknown)}.")
    return Conf(**{known[key].name: _checked(known[key], given[key]) for key in given})


def _refuse_former_names(given: Iterable[str]) -> None:
    names = set(given)
    renamed = [
        f"{old.upper()} is now named {new.upper()}"
        for old, new in RENAMED.items()
        if old.upper() in names
    ]
    if renamed:
        raise ImproperlyConfigured(f"Renamed settings of the outbox: {', '.join(renamed)}.")


def _checked(field: "Field[Any]", value: Any) -> Any:
    if field.name == "secret_keys":
        return _keys(value)
    if field.type == tuple[str, ...]:
        return _texts(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    kind: Any = (int, float) if field.type is float else field.type
    if kind is str and (value is None or value is False):
        return ""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = "True or False" if kind is bool else "a string" if kind is str else "a number"
        name = field.name.upper()
        raise ImproperlyConfigured(f'OUTBOX["{name}"] is {value!r}, but must be {wanted}.')
    return value


def _keys(value: Any) -> tuple[str, ...]:
    """Return the keys of a list, or of a string with one key or several comma-separated ones."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        value = [key for key in value.replace(" ", "").split(",") if key]
    if not isinstance(value, (list, tuple)):
        raise ImproperlyConfigured('OUTBOX["SECRET_KEYS"] must be a list of Fernet keys.')
    return tuple(value)


def is_set(name: str) -> bool:
    """Return whether the project sets a setting of Django instead of using its default."""
    return bool(django_settings.is_overridden(name))  # type: ignore[misc]  # the stubs lack it


def _texts(value: Any) -> tuple[str, ...]:
    """Return the strings of a list, or of one comma-separated string."""
    if isinstance(value, str):
        value = [piece.strip() for piece in value.split(",") if piece.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ImproperlyConfigured(f"{value!r} must be a list of strings.")
    return tuple(value)


def _clear_cache(*, setting: str, **_: object) -> None:
    if setting == "OUTBOX":
        get_conf.cache_clear()


setting_changed.connect(_clear_cache, dispatch_uid="outbox.conf")
