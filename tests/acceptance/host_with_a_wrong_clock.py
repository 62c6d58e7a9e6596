"""Queue one message of a user and one of an app, on a host whose clock is wrong. Print the ids."""

import datetime as dt
import sys

import django

django.setup()

from outbox import api  # noqa: E402  # needs Django
from outbox.db import clock  # noqa: E402  # likewise
from outbox.models import Account  # noqa: E402  # likewise

account = Account.objects.get()
assert account.owner is not None
fields = api.DraftFields(account=account, to="bob@example.org", subject="Hello", text="Hello")
draft = api.save_draft(account.owner, fields)
composed = api.send_draft(draft, actor=account.owner, undo_period=10)
queued = api.send(to="bob@example.org", account=account, expires_after=dt.timedelta(minutes=30))
in_an_hour = clock.now() + dt.timedelta(hours=1)
later = api.send(to="bob@example.org", account=account, send_at=in_an_hour)
sys.stdout.write(f"{composed.pk} {queued.pk} {later.pk}")
