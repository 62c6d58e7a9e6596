"""The people and programs that use the site while its processes are killed.

One thread queues messages through the API, one cancels some of them, and visitors press Send in the
composer. Each records what it was promised; the judge compares that with what arrived.
"""

import datetime as dt
import http.client
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils.crypto import get_random_string

from outbox import api
from outbox.models import Account, Message, OnUncertain, Source
from tests.crash.sink import REFUSED

T = TypeVar("T")
RESEND_AFTER = dt.timedelta(seconds=3)
PRESSED_FOR = 60.0  # seconds; then the visitor writes another message first
BATCH = 10
_BODY = b"The quick brown fox jumps over the lazy dog, again and again.\r\n" * 28


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The response to one cancellation."""

    message_pk: int
    stopped: int
    too_late: int


@dataclass(slots=True)
class Promises:
    """What the site confirmed; each list is appended to by one thread and read at the end."""

    queued: set[str] = field(default_factory=set)  # Message-IDs that the API returned
    unreadable: set[str] = field(default_factory=set)  # of those, messages that cannot be read
    cancelled: list[Cancelled] = field(default_factory=list)
    cancelled_without_response: set[int] = field(default_factory=set)  # message ids
    confirmed: list[str] = field(default_factory=list)  # subjects that Send confirmed
    unconfirmed: list[str] = field(default_factory=list)  # subjects without a response
    never_confirmed: list[str] = field(
        default_factory=list
    )  # those without a response after the last kill


def until_available(work: Callable[[], T], within: float = 60) -> T:
    """Do database work; repeat it while the database is unavailable."""
    deadline = time.monotonic() + within
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)  # the database does not announce its return


def make_accounts(ports: tuple[int, int], owner: User) -> list[Account]:
    """Create an account for each policy and each sink."""
    return [
        Account.objects.create(
            owner=owner,
            name=f"{policy} {port}",
            from_address="ann@kills.test",
            host="127.0.0.1",
            port=port,
            security="none",
            max_connections=6,
            on_uncertain=policy,
            resend_after=RESEND_AFTER,
        )
        for policy in (OnUncertain.RESEND, OnUncertain.HOLD)
        for port in ports
    ]


class Users:
    """All users, each in a thread."""

    def __init__(
        self,
        accounts: list[Account],
        web_port: int,
        *,
        total: int,
        initial: int,
        rate: float,
        visitors: int,
        seed: int,
    ) -> None:
        """Queue `initial` messages at once, then `rate` per second, and at least `total`."""
        self.promises = Promises()
        self._total = total
        self._initial = initial
        self._rate = rate
        self._accounts = accounts
        self._web_port = web_port
        self._chance = random.Random(seed)  # noqa: S311  # variety; guards nothing
        self._number = 0
        self._recent: deque[int] = deque(maxlen=200)
        self._is_finishing = threading.Event()
        self._over = threading.Event()
        jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (self._feed, ()),
            (self._cancel, ()),
            *((self._visit, (number,)) for number in range(visitors)),
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=(job, words), daemon=True)
            for job, words in jobs
        ]
        self.defects: list[BaseException] = []

    def start(self) -> None:
        """Start all users."""
        for thread in self._threads:
            thread.start()

    def finish(self, within: float) -> None:
        """Queue the messages that are left, then end all users."""
        self._is_finishing.set()
        self._threads[0].join(within)
        self._over.set()
        for thread in self._threads:
            thread.join(2 * PRESSED_FOR)
        self.check()

    def check(self) -> None:
        """Raise the first error of a user."""
        if self.defects:
            raise self.defects[0]

    def _guarded(self, job: Callable[..., None], words: tuple[Any, ...]) -> None:
        try:
            job(*words)
        except Exception as error:  # noqa: BLE001  # raised by `check`
            self.defects.append(error)
        finally:
            connection.close()

    # Queueing through the API

    def _feed(self) -> None:
        """Queue the initial messages at once, then at a steady rate until the last kill.

        A message whose call failed with the database was not promised and does not count.
        """
        began = time.monotonic()
        while not self._over.is_set():
            is_finishing = self._is_finishing.is_set()
            due = self._initial + int((time.monotonic() - began) * self._rate)
            missing = (self._total if is_finishing else due) - len(self.promises.queued)
            if is_finishing and missing <= 0:
                return
            if missing < BATCH and not is_finishing:
                self._over.wait(0.05)  # a batch at a time
                continue
            self._queue([self._outgoing(self._number + offset) for offset in range(BATCH)])
            self._number += BATCH

    def _outgoing(self, number: int, **values: Any) -> api.Outgoing:
        account = self._accounts[number % len(self._accounts)]
        copies = 3 if self._chance.random() < 0.05 else 1
        names = [f"r{number}-{copy}@far.test" for copy in range(copies)]
        if self._chance.random() < 0.005:
            names[0] = f"{REFUSED}{number}@far.test"
        message_id = f"{number}.{get_random_string(8)}@kills.test"
        head = (
            f"From: Ann <ann@kills.test>\r\nTo: {names[0]}\r\nSubject: Mail {number}\r\n"
            f"Message-ID: <{message_id}>\r\nDate: Mon, 03 Aug 2026 10:00:00 +0000\r\n\r\n"
        )
        return api.Outgoing(
            source=head.encode() + _BODY,
            envelope_sender="ann@kills.test",
            recipients=[api.OutgoingRecipient(address=name) for name in names],
            account=account,
            owner=account.owner if number % 3 else None,
            message_id=message_id,
            **values,
        )

    def _queue(self, items: list[api.Outgoing]) -> None:
        """Queue messages. A failed call may have committed, but promised nothing."""
        try:
            with transaction.atomic():
                messages = api.queue_sources(items)
                if self._chance.random() < 0.05:
                    self._remove_source(messages[0])
        except (DatabaseError, InterfaceError):
            connection.close()
            return
        self.promises.queued.update(item.message_id for item in items)
        self._recent.extend(message.pk for message in messages[1:])

    def _remove_source(self, message: Message) -> None:
        """Delete its source, as a storage that lost a file does."""
        Source.objects.filter(message=message).delete()
        self.promises.unreadable.add(message.message_id)

    # Cancelling

    def _cancel(self) -> None:
        """Cancel queued messages, and scheduled messages at the moment they are due."""
        while not self._over.wait(self._chance.uniform(0.1, 0.4)):
            if self._chance.random() < 0.5:
                pk = self._about_to_be_due()
            else:
                pk = self._chance.choice(list(self._recent)) if self._recent else None
            if pk is None:
                continue
            try:
                message = Message.objects.get(pk=pk)
                response = api.cancel(message, why="changed my mind")
            except (DatabaseError, InterfaceError):
                connection.close()
                self.promises.cancelled_without_response.add(pk)
                continue
            self.promises.cancelled.append(Cancelled(pk, response.stopped, response.too_late))

    def _about_to_be_due(self) -> int | None:
        """Queue a scheduled message; return its id at the moment it is due."""
        wait = self._chance.uniform(0.2, 0.6)
        send_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=wait)
        number = 10_000_000 + len(self.promises.cancelled)
        item = self._outgoing(number, send_at=send_at, priority=api.Priority.URGENT)
        try:
            message = api.queue_sources([item])[0]
        except (DatabaseError, InterfaceError):
            connection.close()
            return None
        self.promises.queued.add(item.message_id)
        self._over.wait(wait + self._chance.uniform(0, 0.5))
        return message.pk

    # Composing in the browser

    def _visit(self, number: int) -> None:
        """Press Send in the composer; without a response, press it again every other time."""
        cookie = until_available(lambda: _signed_in(User.objects.get()))
        count = 0
        unsent: list[dict[str, str]] = []
        while not self._over.wait(0.25):
            count += 1
            form = self._form(f"Visitor {number} writes message {count}", count)
            if not self._press(form, cookie):
                self.promises.confirmed.append(form["subject"])
                continue
            self.promises.unconfirmed.append(form["subject"])
            if count % 2 and self._press_again(form, cookie, self._over.wait):
                unsent.append(form)
        for form in unsent:  # after the last kill
            if trouble := self._press_again(form, cookie, time.sleep):
                self.promises.never_confirmed.append(f"“{form['subject']}”: {trouble}")

    def _form(self, subject: str, count: int) -> dict[str, str]:
        return {
            "account": str(self._accounts[count % len(self._accounts)].pk),
            "to": f"{get_random_string(12).lower()}@far.test",
            "subject": subject,
            "importance": "normal",
            "text": "Hello",
            "form": get_random_string(22),
            "send": "1",
        }

    def _press_again(
        self, form: dict[str, str], cookie: str, pause: Callable[[float], bool | None]
    ) -> str:
        """Press Send until the site confirms; return its last response when time is up."""
        deadline = time.monotonic() + PRESSED_FOR
        while trouble := self._press(form, cookie):
            if pause(0.5) or time.monotonic() > deadline:
                return trouble
        return ""

    def _press(self, form: dict[str, str], cookie: str) -> str:
        """Return "" when the site confirmed the message, else what it said instead."""
        token = "k" * 32
        web = http.client.HTTPConnection("127.0.0.1", self._web_port, timeout=10)
        try:
            web.request(
                "POST",
                "/compose/",
                urlencode(form | {"csrfmiddlewaretoken": token}),
                {
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Cookie": f"{cookie}; csrftoken={token}",
                },
            )
            response = web.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            web.close()
        place = response.headers["Location"] or ""
        is_kept = response.status == HTTPStatus.FOUND and "/messages/" in place
        return "" if is_kept else f"{response.status} {response.reason} {place}"


def _signed_in(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return f"sessionid={session.session_key}"
