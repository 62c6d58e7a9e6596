"""Renew an account's token in a process of its own, and die at a point of it.

    python -m tests.acceptance.token_worker POINT ROUNDS

In each round the token has expired and is asked for. The points are "lease" and "store", each
"before" or "after" its statement; "" survives. It prints a line for each round.
"""

import os
import signal
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsite.settings")

import django

django.setup()

from django.db import connection  # noqa: E402  # needs the settings

from outbox.db.clock import database_now  # noqa: E402  # likewise
from outbox.delivery.tokens import wait_for_access  # noqa: E402  # likewise
from outbox.models import Account, OAuthToken  # noqa: E402  # likewise
from outbox.smtp import SmtpFault  # noqa: E402  # likewise

_TABLE = "UPDATE outbox_oauthtoken SET"
_point, _rounds = sys.argv[1], int(sys.argv[2])


def _kill(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
    plain = sql.replace('"', "")
    step = ""
    if plain.startswith(_TABLE) and "access_encrypted =" in plain:
        step = "store"
    elif plain.startswith(_TABLE) and "lease_key =" in plain:
        step = "lease"
    if _point == f"before {step}":
        os.kill(os.getpid(), signal.SIGKILL)
    result = execute(sql, params, many, context)
    if _point == f"after {step}":
        os.kill(os.getpid(), signal.SIGKILL)
    return result


if __name__ == "__main__":
    account = Account.objects.get()
    for _ in range(_rounds):
        OAuthToken.objects.update(expires_at=database_now())
        if _point:
            connection.execute_wrappers.append(_kill)
        try:
            said = str(wait_for_access(account, "default").generation)
        except SmtpFault as fault:
            said = f"{fault.kind}: {fault.reason.code}"
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()
