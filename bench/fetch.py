"""Fetch 10,000 messages of 5 KB from Dovecot, compared with loops that only download them.

    make bench-fetch [ARGS="--count 10000 --rounds 3"]

The loops and the fetch run in turn on one mailbox, so that other load of the machine hits all of
them. The first loop is that of poplib, and the second one that of the session which the fetch uses.
The fetch parses, classifies and stores each message in PostgreSQL. The exit status is not zero if
it takes more than twice the time of poplib. Quote the ratios: rates depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import poplib
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from dev.postgres_server import FORGETFUL, postgres_server
from tests.mailbox_servers.base import PASSWORD, USER
from tests.mailbox_servers.dovecot import Dovecot

TARGET = 2.0  # times poplib's loop
_WORDS = "The quick brown fox jumps over the lazy dog near the old river bank today. "


def main() -> None:
    """Print the time of each loop and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.fetch", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="messages")
    parser.add_argument("--size", type=int, default=5_000, help="bytes of each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as media,
        postgres_server(options=FORGETFUL) as database,
        Dovecot() as server,
    ):
        _configure(database.url, server.ca_file, media)
        sources = [message(number, options.size) for number in range(options.count)]
        server.deliver(*sources)
        sys.exit(1 if _measure(server, options.count, options.rounds) > TARGET else 0)


def message(number: int, size: int) -> bytes:
    """Return a message as mail programs write it: trace fields, plain text and HTML."""
    head = (
        f"Return-Path: <bob{number % 50}@example.com>\r\n"
        "Received: from mail.example.com (mail.example.com [192.0.2.1])\r\n"
        "\tby mx.example.org (Postfix) with ESMTPS id 4Zx1y2z3\r\n"
        "\tfor <ann@example.org>; Mon, 01 Jan 2024 10:00:00 +0000 (UTC)\r\n"
        f"From: Bob Smith <bob{number % 50}@example.com>\r\nTo: Ann <ann@example.org>\r\n"
        f"Subject: Report number {number}\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
        f"Message-ID: <{number}.1704103200@example.com>\r\n"
        f"References: <{number // 4}@example.org>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/alternative; boundary="b1"\r\n\r\n'
        "--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    middle = "\r\n--b1\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>"
    end = "</p></body></html>\r\n--b1--\r\n"
    half = (size - len(head) - len(middle) - len(end)) // 2
    text = (_WORDS + "\r\n") * (half // len(_WORDS))
    return (head + text + middle + text + end).encode()


def _configure(url: str, ca_file: str, media: str) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "mailsite.settings",
        "ENV_FILE": "",
        "DEBUG": "off",
        "SECRET_KEY": "only for this benchmark " * 3,
        "DATABASE_URL": url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "MEDIA_ROOT": media,
        "OUTBOX_SECRET_KEYS": Fernet.generate_key().decode(),
        "OUTBOX_ALLOW_PRIVATE_HOSTS": "on",
        "OUTBOX_CA_FILE": ca_file,
        "LOG_LEVEL": "WARNING",
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _measure(server: Dovecot, count: int, rounds: int) -> float:
    loops: dict[str, Callable[[Dovecot], int]] = {
        "poplib": _poplib,
        "session": _session,
        "fetch": _fetch,
    }
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            began = time.perf_counter()
            found = loop(server)
            taken[name].append(time.perf_counter() - began)
            assert found == count, f"{name} found {found} messages"
            print(f"{name:8} {taken[name][-1]:7.2f} s  {count / taken[name][-1]:8,.0f} / s")
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name in ("poplib", "session"):
        print(f"fetch / {name}: {medians['fetch'] / medians[name]:.2f} x")
    return medians["fetch"] / medians["poplib"]


def _poplib(server: Dovecot) -> int:
    context = ssl.create_default_context(cafile=server.ca_file)
    client = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=context)
    client.user(USER)
    client.pass_(PASSWORD)
    count, _size = client.stat()
    for number in range(1, count + 1):
        client.retr(number)
    client.quit()
    return count


def _login(server: Dovecot) -> object:
    from outbox.inbound.mail_server import Login

    return Login(
        protocol="pop3",
        host="127.0.0.1",
        port=server.ports["pop3s"],
        security="tls",
        username=USER,
        password=PASSWORD,
        allows_private=True,
        ca_file=server.ca_file,
    )


def _session(server: Dovecot) -> int:
    from outbox.inbound.mail_server import open_mail_server

    session = open_mail_server(_login(server))  # type: ignore[arg-type]
    count = len(session.messages())
    found = sum(1 for _ in session.retrieve_many(range(count)))
    session.quit()
    return found


def _fetch(server: Dovecot) -> int:
    from outbox.inbound.fetch import fetch_mailbox
    from outbox.models import Account, Mailbox

    Account.objects.all().delete()  # with the ids of the messages that were fetched
    account = Account.objects.create(name="bench", from_address="a@example.org", host="127.0.0.1")
    mailbox = Mailbox(
        account=account,
        host="127.0.0.1",
        port=server.ports["pop3s"],
        security="tls",
        username=USER,
    )
    mailbox.secret = PASSWORD
    mailbox.save()
    if profile := os.environ.get("PROFILE"):
        import cProfile

        profiler = cProfile.Profile()
        outcome = profiler.runcall(fetch_mailbox, mailbox.pk)
        profiler.dump_stats(profile)
    else:
        outcome = fetch_mailbox(mailbox.pk)
    assert not outcome.reason, outcome.reason
    return outcome.stored


__all__ = ["Path", "main", "message"]

if __name__ == "__main__":
    main()
