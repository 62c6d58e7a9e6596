"""Let a claim write no index entry, and write fewer with everything else (docs/decisions/0008)."""

from collections.abc import Callable
from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import F, Max, Q, QuerySet

from outbox.migrations._online import (
    AddIndexOnline,
    AddUniqueOnline,
    RemoveForeignKeyIndex,
    RemoveIndexOnline,
    SetFillFactor,
)

BATCH = 10_000  # rows of one transaction
WAITING = Q(next_attempt_at__isnull=False)


def fill_columns(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Say in `next_attempt_at` what waits, and nothing else; fill the columns that are new."""
    recipients = _recipients(apps, schema_editor)
    _in_batches(
        recipients.filter(state="uncertain", next_attempt_at__isnull=False),
        lambda rows: rows.update(resend_at=F("next_attempt_at"), next_attempt_at=None),
    )
    over = recipients.exclude(state__in=("queued", "deferred", "sending"))
    _in_batches(over.filter(WAITING), lambda rows: rows.update(next_attempt_at=None))
    ended = recipients.filter(state__in=("expired", "bounced"))
    _in_batches(ended, lambda rows: rows.update(ended_as=F("state")))


def restore_columns(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let uncertain recipients be sent again by `next_attempt_at`."""
    _in_batches(
        _recipients(apps, schema_editor).filter(resend_at__isnull=False),
        lambda rows: rows.update(next_attempt_at=F("resend_at")),
    )


def _recipients(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> QuerySet[Any]:
    recipients = apps.get_model("outbox", "Recipient").objects.using(schema_editor.connection.alias)
    return recipients.order_by()


def _in_batches(rows: QuerySet[Any], change: Callable[[QuerySet[Any]], object]) -> None:
    newest = rows.aggregate(newest=Max("pk"))["newest"] or 0
    for start in range(0, newest + 1, BATCH):
        change(rows.filter(pk__gte=start, pk__lt=start + BATCH))


def add_recipient_index(name: str, fields: list[str], condition: Q) -> AddIndexOnline:
    return AddIndexOnline(
        model_name="recipient",
        index=models.Index(name=name, fields=fields, condition=condition),
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("outbox", "0008_rename_security_choices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            "attempt",
            "reply_command",
            models.CharField(blank=True, db_default="", max_length=8),
        ),
        migrations.AddField("recipient", "ended_as", models.CharField(max_length=10, null=True)),
        migrations.AddField("recipient", "resend_at", models.DateTimeField(null=True)),
        migrations.AddField("worker", "swept_at", models.DateTimeField(blank=True, null=True)),
        migrations.RunPython(fill_columns, restore_columns),
        add_recipient_index(
            "outbox_recipient_claim",
            ["destination", "priority", "sender_key", "next_attempt_at", "id"],
            WAITING,
        ),
        add_recipient_index("outbox_recipient_poll", ["destination", "next_attempt_at"], WAITING),
        add_recipient_index("outbox_recipient_expire", ["expires_at"], WAITING),
        add_recipient_index("outbox_recipient_resend", ["resend_at"], Q(resend_at__isnull=False)),
        add_recipient_index(
            "outbox_recipient_refusal",
            ["sender_key", "reply_code", "reply_enhanced", "-message"],
            Q(reply_code__gte=300),
        ),
        add_recipient_index(
            "outbox_recipient_end",
            ["sender_key", "ended_as", "-message"],
            Q(ended_as__isnull=False),
        ),
        AddIndexOnline(
            model_name="worker",
            index=models.Index(
                name="outbox_worker_unswept", fields=["ended_at"], condition=Q(swept_at=None)
            ),
        ),
        AddUniqueOnline(
            model_name="message",
            constraint=models.UniqueConstraint(
                name="outbox_message_idempotent",
                fields=["idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
        ),
        migrations.RemoveConstraint("message", "outbox_message_idempotency"),
        *(
            RemoveIndexOnline("recipient", f"outbox_recipient_{name}")
            for name in ("due", "next", "expiry", "sending", "uncertain", "reply", "ended")
        ),
        RemoveForeignKeyIndex(
            "message",
            "account",
            models.ForeignKey(
                blank=True, db_index=False, null=True, related_name="messages",
                on_delete=django.db.models.deletion.SET_NULL, to="outbox.account",
            ),  # fmt: skip
        ),
        RemoveForeignKeyIndex(
            "message",
            "owner",
            models.ForeignKey(
                blank=True, db_index=False, null=True, related_name="+",
                on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL,
            ),  # fmt: skip
        ),
        # An attempt grows from 150 to 1,000 bytes, a recipient from 200 to 400.
        SetFillFactor("attempt", 12),
        SetFillFactor("recipient", 45),
        SetFillFactor("message", 70),
    ]
