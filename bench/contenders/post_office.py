"""django-post_office: `post_office PORT COUNT migrate|one|many|drain CONNECTIONS`.

Drained at the best settings found: batches of 5,000, two processes, as many threads as connections.
"""

import os
import sys
import time

os.environ["BENCH_SMTP_PORT"] = sys.argv[1]
os.environ["BENCH_THREADS"] = str(max(int(sys.argv[4]) // 2, 1))

import django  # the settings read the two above

django.setup()

from django.core.mail import EmailMessage, get_connection  # noqa: E402
from django.core.management import call_command  # noqa: E402

from bench.contenders._stage import body, report, wait_for_signal  # noqa: E402

A_CALL = 1_000


def main() -> None:
    count, way = int(sys.argv[2]), sys.argv[3]
    if way == "migrate":
        call_command("migrate", verbosity=0)
        report(done=1)
        return
    mails = [
        EmailMessage(f"Subject {number}", body(), "shop@example.org", [f"to{number}@example.com"])
        for number in range(count if way != "drain" else 0)
    ]
    began = wait_for_signal()
    cpu = time.process_time()
    if way == "drain":
        call_command("send_queued_mail", processes=2, verbosity=0)
    else:
        size = 1 if way == "one" else A_CALL
        for start in range(0, count, size):
            get_connection().send_messages(mails[start : start + size])
    report(seconds=time.time() - began, cpu=time.process_time() - cpu)


if __name__ == "__main__":
    main()
