"""Queue messages in the outbox: `outbox_queue PORT CONNECTIONS COUNT one|many|backend|loop`."""

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


def build_messages(count: int) -> list[EmailMessage]:
    """Return different messages, built as an app would build them."""
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
            is_trusted=True,
        )
        report(done=1)
        return
    Account.objects.update(port=port, max_connections=connections)
    messages = [large()] if way == "large" else build_messages(count)
    queue(build_messages(1), "one")  # a process that queues has long imported everything
    began = wait_for_signal()
    cpu = time.process_time()
    queue(messages, way)
    report(seconds=time.time() - began, cpu=time.process_time() - cpu)


def large() -> EmailMessage:
    """Return a message that is 25 MB on the wire."""
    message = EmailMessage("Large", body(), "shop@example.org", ["to@example.com"])
    message.attach("large.bin", bytes(range(256)) * 71_000, "application/octet-stream")
    return message


def queue(messages: list[EmailMessage], way: str) -> None:
    """Queue the messages, one or a thousand per call; `loop` only renders them."""
    if way == "loop":
        for message in messages:
            message.message().as_bytes()
    elif way == "one":
        for message in messages:
            EmailBackend().send_messages([message])
    else:
        for start in range(0, len(messages), A_CALL):
            EmailBackend().send_messages(messages[start : start + A_CALL])


if __name__ == "__main__":
    main()
