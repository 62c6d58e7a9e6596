"""Sharing: the accounts that were shared so far count as accepted."""

from typing import Any

from django.conf import settings
from django.db import migrations

_AT_ONCE = 1_000


def accept_existing_shares(apps: Any, schema_editor: Any) -> None:
    """Write a decision for each user who could send with an account. Can be run again."""
    using = schema_editor.connection.alias
    accounts = apps.get_model("outbox", "Account").objects.using(using)
    decisions = apps.get_model("outbox", "ShareDecision")
    users = apps.get_model(settings.AUTH_USER_MODEL)._default_manager.using(using)
    for account in accounts.iterator():
        ids = set(account.users.values_list("pk", flat=True))
        groups = list(account.groups.values_list("pk", flat=True))
        if groups:
            ids.update(users.filter(groups__in=groups).values_list("pk", flat=True))
        accepted = [
            decisions(account_id=account.pk, user_id=pk, is_accepted=True)
            for pk in ids - {account.owner_id}
        ]
        decisions.objects.using(using).bulk_create(accepted, _AT_ONCE, ignore_conflicts=True)


class Migration(migrations.Migration):
    atomic = False  # a large site is not locked while the decisions are written

    dependencies = [
        ("outbox", "0009_sharing"),
    ]

    operations = [
        migrations.RunPython(accept_existing_shares, migrations.RunPython.noop),
    ]
