"""Queue messages to servers that accept connections and never reply: `outbox_holes PORT…`."""

import sys

import django

django.setup()

from bench.contenders._stage import body, report  # noqa: E402  # needs the settings
from outbox import api  # noqa: E402  # likewise
from outbox.models import Account  # noqa: E402  # likewise

MESSAGES = 50  # for each server


def main() -> None:
    for port in sys.argv[1:]:
        account = Account.objects.create(
            name=f"hole at {port}",
            from_address="shop@example.org",
            host="127.0.0.1",
            port=int(port),
            security="none",
        )
        for number in range(MESSAGES):
            to = f"to{number}@example.com"
            api.send(account=account, to=to, subject="Into the dark", text=body())
    report(done=1)


if __name__ == "__main__":
    main()
