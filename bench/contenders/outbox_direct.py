"""Queue messages for direct delivery: `outbox_direct SITES EACH`, to `mx_domain(0)` and so on."""

import sys
import time

import django

django.setup()

from django.core.mail import EmailMessage  # noqa: E402  # needs the settings

from bench.contenders._stage import body, report, wait_for_signal  # noqa: E402
from bench.contenders.outbox_queue import queue  # noqa: E402
from bench.mx_sites import SENDER, mx_domain  # noqa: E402
from outbox.models import Account, Route  # noqa: E402


def main() -> None:
    sites, each = map(int, sys.argv[1:])
    Account.objects.update(route=Route.DIRECT, host="", from_address=SENDER, is_trusted=False)
    text = body()
    messages = [
        EmailMessage(f"Subject {number}", text, SENDER, [f"to{number}@{mx_domain(site)}"])
        for number in range(each)
        for site in range(sites)
    ]
    began = wait_for_signal()
    queue(messages, "many")
    report(seconds=time.time() - began)


if __name__ == "__main__":
    main()
