"""Lets the tests of a project see what it queued, and deliver it to a local server.

    with Inbox() as inbox:
        self.client.post("/orders/", {"item": "tea"})
        assert inbox[0].subject == "Your order"

It reads like Django's `mail.outbox`, and works in a `TestCase`. Django's test runner puts a backend
of its own in place of the project's; while an Inbox is open every mail goes to the outbox's.
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
from outbox.models import Account, Message, Route, Security, Status
from outbox.models.message import MessageQuerySet
from outbox.testing.queued_mail import QueuedMail

BACKEND = "outbox.backend.EmailBackend"


class Server(Protocol):
    """A mail server of this package, or any other that takes mail without TLS and login."""

    host: str
    port: int


class Inbox(Sequence[QueuedMail]):
    """The mails queued since it was opened, oldest first; those of the composer included."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._after = 0

    def __enter__(self) -> Self:
        self._stack.enter_context(override_settings(**_every_mail_to_the_outbox()))
        self.clear()
        _need_an_account()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def clear(self) -> None:
        """Forget what was queued so far; it stays queued."""
        latest = _messages().order_by("pk").last()
        self._after = latest.pk if latest else 0

    def drain(self, server: Server) -> None:
        """Deliver what is due to this server, as a worker would; the rows tell what came of it.

        The engine has database connections of its own, which see only what is committed: use it in
        a `TransactionTestCase`, or under `django_db(transaction=True)`.
        """
        _be_seen_by_others()
        allowed = {**getattr(settings, "OUTBOX", {}), "ALLOW_PRIVATE_HOSTS": True}
        with _every_route_to(server), override_settings(OUTBOX=allowed):
            Engine(until_empty=True).run()

    def __len__(self) -> int:
        return self._queued().count()

    def __iter__(self) -> Iterator[QueuedMail]:
        return iter([QueuedMail(row) for row in self._queued()])

    @overload
    def __getitem__(self, index: int) -> QueuedMail: ...
    @overload
    def __getitem__(self, index: slice) -> list[QueuedMail]: ...
    def __getitem__(self, index: int | slice) -> QueuedMail | list[QueuedMail]:
        chosen = list(self._queued())[index]
        return (
            [QueuedMail(row) for row in chosen] if isinstance(chosen, list) else QueuedMail(chosen)
        )

    def __repr__(self) -> str:
        subjects = ", ".join(repr(row.subject) for row in self._queued())
        return f"<Inbox: {subjects or 'empty'}>"

    def _queued(self) -> MessageQuerySet:
        found = _messages().filter(pk__gt=self._after).exclude(status=Status.DRAFT)
        return found.select_related("source").order_by("pk")


def _messages() -> MessageQuerySet:
    return Message.objects.using(get_conf().database)


def _every_mail_to_the_outbox() -> dict[str, Any]:
    """Return the setting of this Django and project that says so."""
    if hasattr(settings, "MAILERS"):  # since Django 6.1
        return {"MAILERS": {alias: {"BACKEND": BACKEND} for alias in settings.MAILERS}}
    return {"EMAIL_BACKEND": BACKEND}


def _need_an_account() -> None:
    """Make one where a test's database has none, so that queueing finds it."""
    try:
        api.default_account()
    except NoAccountError:
        Account.objects.using(get_conf().database).create(
            name="Inbox of a test",
            from_address="inbox@example.com",
            host="localhost",
            is_app_default=True,
        )


def _be_seen_by_others() -> None:
    """Raise where the engine's own connections would find nothing."""
    connection: Any = connections[get_conf().database]
    if connection.in_atomic_block:
        raise RuntimeError(
            "Inbox.drain() delivers what is committed: use a TransactionTestCase, or pytest's "
            "django_db(transaction=True)."
        )
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        raise RuntimeError(
            "Inbox.drain() needs a test database in a file: give DATABASES "
            '"TEST": {"NAME": BASE_DIR / "test.sqlite3"}.'
        )


@contextlib.contextmanager
def _every_route_to(server: Server) -> Iterator[None]:
    """Let every account send through this server for a while."""
    accounts = Account.objects.using(get_conf().database)
    fields = ("host", "port", "security", "route", "username")
    before = {row["pk"]: row for row in accounts.values("pk", *fields)}
    accounts.update(
        host=server.host,
        port=server.port,
        security=Security.NONE,
        route=Route.SMARTHOST,
        username="",
    )
    try:
        yield
    finally:
        for pk, row in before.items():
            accounts.filter(pk=pk).update(**{name: row[name] for name in fields})
