"""An inbox for a project's tests: the messages that they queue, and delivery to a local server.

    with Inbox() as inbox:
        self.client.post("/orders/", {"item": "tea"})
        assert inbox[0].subject == "Your order"

It reads like Django's `mail.outbox`, and works in a `TestCase`. Django's test runner replaces the
project's email backend; while an Inbox is open, every message goes to the outbox's backend.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self, overload

from django.conf import settings
from django.db import connections
from django.test.utils import override_settings

from outbox import api
from outbox.conf import get_conf
from outbox.delivery.engine import Engine
from outbox.exceptions import NoAccountError
from outbox.models import Account, Message, Security, Status
from outbox.models.message import MessageQuerySet
from outbox.testing.queued_message import QueuedMessage

BACKEND = "outbox.backend.EmailBackend"


class Server(Protocol):
    """A mail server of this package, or any other one without TLS and login."""

    host: str
    port: int


class Inbox(Sequence[QueuedMessage]):
    """The messages queued since it was opened, oldest first, including those of the composer."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._after = 0

    def __enter__(self) -> Self:
        self._stack.enter_context(override_settings(**_backend_settings()))
        self.clear()
        _ensure_account()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def clear(self) -> None:
        """Hide the messages queued so far; they stay queued."""
        latest = _messages().order_by("pk").last()
        self._after = latest.pk if latest else 0

    def drain(self, server: Server) -> None:
        """Deliver the due messages to this server, as a worker does; the rows show the result.

        The engine has database connections of its own, which see committed rows only. Use it in a
        `TransactionTestCase`, or with `django_db(transaction=True)`.
        """
        _check_visible_to_engine()
        allowed = {**getattr(settings, "OUTBOX", {}), "ALLOW_PRIVATE_HOSTS": True}
        with _all_accounts_use(server), override_settings(OUTBOX=allowed):
            Engine().drain()

    def __len__(self) -> int:
        return self._queued().count()

    def __iter__(self) -> Iterator[QueuedMessage]:
        return iter([QueuedMessage(row) for row in self._queued()])

    @overload
    def __getitem__(self, index: int) -> QueuedMessage: ...
    @overload
    def __getitem__(self, index: slice) -> list[QueuedMessage]: ...
    def __getitem__(self, index: int | slice) -> QueuedMessage | list[QueuedMessage]:
        chosen = list(self._queued())[index]
        return (
            [QueuedMessage(row) for row in chosen]
            if isinstance(chosen, list)
            else QueuedMessage(chosen)
        )

    def __repr__(self) -> str:
        subjects = ", ".join(repr(row.subject) for row in self._queued())
        return f"<Inbox: {subjects or 'empty'}>"

    def _queued(self) -> MessageQuerySet:
        found = _messages().filter(pk__gt=self._after).exclude(status=Status.DRAFT)
        return found.select_related("source").order_by("pk")


def _messages() -> MessageQuerySet:
    return Message.objects.using(get_conf().database)


def _backend_settings() -> dict[str, Any]:
    """Return the setting, by the version of Django, that names the outbox's backend."""
    if hasattr(settings, "MAILERS"):  # since Django 6.1
        return {"MAILERS": {alias: {"BACKEND": BACKEND} for alias in settings.MAILERS}}
    return {"EMAIL_BACKEND": BACKEND}


def _ensure_account() -> None:
    """Create an account if the test's database has none."""
    try:
        api.default_account()
    except NoAccountError:
        Account.objects.using(get_conf().database).create(
            name="Inbox of a test",
            from_address="inbox@example.com",
            host="localhost",
            is_app_default=True,
        )


def _check_visible_to_engine() -> None:
    """Raise RuntimeError if the engine's own connections would see no message."""
    connection: Any = connections[get_conf().database]
    if connection.in_atomic_block:
        raise RuntimeError(
            "Inbox.drain() delivers committed messages: use a TransactionTestCase, or pytest's "
            "django_db(transaction=True)."
        )
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        raise RuntimeError(
            "Inbox.drain() needs a test database in a file: give DATABASES "
            '"TEST": {"NAME": BASE_DIR / "test.sqlite3"}.'
        )


@contextlib.contextmanager
def _all_accounts_use(server: Server) -> Iterator[None]:
    """Point every account to this server while the block runs."""
    accounts = Account.objects.using(get_conf().database)
    fields = ("host", "port", "security", "username", "is_trusted")
    before = {row["pk"]: row for row in accounts.values("pk", *fields)}
    accounts.update(
        host=server.host,
        port=server.port,
        security=Security.NONE,
        username="",
        is_trusted=True,  # the server is on loopback
    )
    try:
        yield
    finally:
        for pk, row in before.items():
            accounts.filter(pk=pk).update(**{name: row[name] for name in fields})
