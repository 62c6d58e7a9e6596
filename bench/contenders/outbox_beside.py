"""Queue the load of one account, then measure the messages of another one.

`outbox_beside PORT MESSAGES CASE`: the port is that of the other account's server, and the case has
a name in `bench.isolation`.
"""

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402  # needs the settings
from django.db.models import F  # noqa: E402  # likewise

from bench.contenders._stage import body, report, wait_for_signal  # noqa: E402  # likewise
from bench.isolation import CASES, Case  # noqa: E402  # likewise
from outbox import api  # noqa: E402  # likewise
from outbox.models import OPEN, Account, Attempt, Recipient, Source, Worker  # noqa: E402
from outbox.testing.faultlab import FaultLab  # noqa: E402  # likewise

_INTERVAL = 0.04  # seconds between two messages
_WITHIN = 60.0  # seconds in which they have to be sent
_MB = 1024  # of the kilobytes in /proc


def main() -> None:
    port, messages, case = int(sys.argv[1]), int(sys.argv[2]), CASES[sys.argv[3]]
    with FaultLab(case.scenario) as lab:
        _queue_load(lab, case)
        good = _account("alice", port, {})
        wait_for_signal()
        _wait(Worker.objects.exists)
        if case.messages:
            _wait(Attempt.objects.exists)
        own = Recipient.objects.filter(message__account=good)
        api.send(account=good, to="first@example.com", subject="Not measured", text=body())
        _wait(lambda: not own.filter(state__in=OPEN).exists())
        for number in range(messages):
            to = f"to{number}@example.com"
            api.send(account=good, to=to, subject=f"Message {number}", text=body())
            time.sleep(_INTERVAL)  # the rate of the measured messages
        _wait(lambda: not own.filter(state__in=OPEN).exists())
        own = own.exclude(address="first@example.com")
        delays = sorted(
            delay.total_seconds()
            for delay in own.filter(state="sent").values_list(
                F("final_at") - F("message__queued_at"), flat=True
            )
        )
        memory = _peak_memory(Worker.objects.latest("pk").pid)
    cuts = statistics.quantiles(delays, n=100)
    report(
        p50=cuts[49],
        p99=cuts[98],
        longest=delays[-1],
        unsent=messages - len(delays),
        memory=memory,
    )


def _queue_load(lab: FaultLab, case: Case) -> None:
    scenario = lab.scenario
    security = "starttls" if scenario.offers("STARTTLS") else "none"
    account = _account(
        "mallory",
        lab.port,
        {
            "max_connections": case.connections,
            "security": "tls" if scenario.tls_at_once else security,
        },
    )
    if scenario.capabilities.login:
        account.username, account.secret = "someone", "a password"
        account.save()
    files = [("load.bin", os.urandom(case.size), "application/octet-stream")]
    for number in range(case.messages):
        to = [f"m{number}r{one}@example.net" for one in range(case.recipients)]
        attachments = files if case.size else ()
        api.send(account=account, to=to, subject="Load", text=body(), attachments=attachments)
    if case.hangs:
        for source in Source.objects.exclude(file=""):
            Path(source.file.path).unlink()
            os.mkfifo(source.file.path)


def _account(owner: str, port: int, fields: dict[str, Any]) -> Account:
    values = {
        "name": owner,
        "from_address": f"{owner}@example.org",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "owner": User.objects.create(username=owner),
    }
    return Account.objects.create(**values | fields)


def _wait(condition: Any) -> None:
    """Wait until the condition holds, or as long as the measured messages may take."""
    deadline = time.monotonic() + _WITHIN
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)  # the worker is another process


def _peak_memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / _MB


if __name__ == "__main__":
    main()
