"""What most teams write: a row and a Celery task per message, sent through Django's SMTP backend.

`task_per_message PORT COUNT publish` inserts the rows and publishes the tasks. The workers are
started by `celery --app bench.contenders.task_per_message`.
"""

import os
import sys
import time

if __name__ == "__main__":
    os.environ["BENCH_SMTP_PORT"] = sys.argv[1]

import django
from celery import Celery

django.setup()

from django.core.mail import EmailMessage  # noqa: E402  # needs the settings
from django.db import connection  # noqa: E402

from bench.contenders._stage import body, report, wait_for_signal  # noqa: E402

app = Celery("task_per_message")
app.conf.broker_url = os.environ["REDIS_URL"].replace("unix://", "redis+socket://")
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False

TABLE = """CREATE TABLE mail (id bigserial PRIMARY KEY, subject text, body text, recipient text,
    status text DEFAULT 'queued', sent_at timestamptz)"""


@app.task(name="send_one")
def send_one(pk: int) -> None:
    """Load the row, send it, write its status."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT subject, body, recipient FROM mail WHERE id = %s", [pk])
        subject, text, recipient = cursor.fetchone()
        EmailMessage(subject, text, "shop@example.org", [recipient]).send()
        cursor.execute(
            "UPDATE mail SET status = 'sent', sent_at = clock_timestamp() WHERE id = %s", [pk]
        )


def main() -> None:
    count, way = int(sys.argv[2]), sys.argv[3]
    with connection.cursor() as cursor:
        if way == "migrate":
            cursor.execute(TABLE)
            report(done=1)
            return
        began = wait_for_signal()
        for number in range(count):
            cursor.execute(
                "INSERT INTO mail (subject, body, recipient) VALUES (%s, %s, %s) RETURNING id",
                [f"Subject {number}", body(), f"to{number}@example.com"],
            )
            send_one.delay(cursor.fetchone()[0])
    report(seconds=time.time() - began)


if __name__ == "__main__":
    main()
