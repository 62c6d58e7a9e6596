"""Queue mails through the outbox: `outbox_queue PORT CONNECTIONS COUNT one|many|backend|loop`."""

import sys
import time

import django

django.setup()

from django.core.mail import EmailMessage  # noqa: E402  # needs the settings
from django.core.management import call_command  # noqa: E402

from bench.contenders._stage import body, report, wait_for_signal  # noqa: E402
from outbox.backend import EmailBackend  # noqa: E402
from outbox.models import Account  # noqa: E402

A_CALL = 1_000


def messages(count: int) -> list[EmailMessage]:
    """Different mails, built as an app would."""
    return [
        EmailMessage(f"Subject {number}", body(), "shop@example.org", [f"to{number}@example.com"])
        for number in range(count)
    ]


def main() -> None:
    port, connections, count, way = *map(int, sys.argv[1:4]), sys.argv[4]
    if way == "migrate":
        call_command("migrate", verbosity=0)
        Account.objects.create(
            name="bench",
            from_address="shop@example.org",
            host="127.0.0.1",
            port=1,
            security="none",
            is_app_default=True,
        )
        report(done=1)
        return
    Account.objects.update(port=port, max_connections=connections)
    mails = [large()] if way == "large" else messages(count)
    began = wait_for_signal()
    cpu = time.process_time()
    queue(mails, way)
    report(seconds=time.time() - began, cpu=time.process_time() - cpu)


def large() -> EmailMessage:
    """A mail of 25 MB on the wire."""
    mail = EmailMessage("Large", body(), "shop@example.org", ["to@example.com"])
    mail.attach("large.bin", bytes(range(256)) * 71_000, "application/octet-stream")
    return mail


def queue(mails: list[EmailMessage], way: str) -> None:
    """Queue them: one a call, or a thousand; `loop` only renders, the bound."""
    if way == "loop":
        for mail in mails:
            mail.message().as_bytes()
    elif way == "one":
        for mail in mails:
            EmailBackend().send_messages([mail])
    else:
        for start in range(0, len(mails), A_CALL):
            EmailBackend().send_messages(mails[start : start + A_CALL])


if __name__ == "__main__":
    main()
