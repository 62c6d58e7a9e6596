"""django-post_office: `post_office PORT COUNT migrate|one|many|send_many|drain CONNECTIONS`.

It drains with the best settings found: batches of 5,000, two processes, and a thread per
connection.
"""

import os
import sys
import time
from typing import Any

os.environ["BENCH_SMTP_PORT"] = sys.argv[1]
os.environ["BENCH_THREADS"] = str(max(int(sys.argv[4]) // 2, 1))

import django  # the settings read the two above

django.setup()

from django.core.mail import EmailMessage, get_connection  # noqa: E402
from django.core.management import call_command  # noqa: E402
from post_office import mail  # noqa: E402

from bench.contenders._stage import body, report, wait_for_signal  # noqa: E402

A_CALL = 1_000


def main() -> None:
    count, way = int(sys.argv[2]), sys.argv[3]
    if way == "migrate":
        call_command("migrate", verbosity=0)
        report(done=1)
        return
    messages = [
        EmailMessage(f"Subject {number}", body(), "shop@example.org", [f"to{number}@example.com"])
        for number in range(count if way != "drain" else 0)
    ]
    if way != "drain":  # a process that queues has long imported everything
        get_connection().send_messages(messages[:1])
    began = wait_for_signal()
    cpu = time.process_time()
    if way == "drain":
        call_command("send_queued_mail", processes=2, verbosity=0)
    elif way == "send_many":
        for start in range(0, count, A_CALL):
            mail.send_many(map(arguments, messages[start : start + A_CALL]))
    else:
        size = 1 if way == "one" else A_CALL
        for start in range(0, count, size):
            get_connection().send_messages(messages[start : start + size])
    report(seconds=time.time() - began, cpu=time.process_time() - cpu)


def arguments(message: EmailMessage) -> dict[str, Any]:
    """Return a message as `mail.send_many` takes it."""
    return {
        "recipients": message.to,
        "sender": message.from_email,
        "subject": message.subject,
        "message": message.body,
    }


if __name__ == "__main__":
    main()
