from django.db import migrations, models

from outbox.migrations._operations import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    """The indexes are built while the tables are in use, so that this migration is not atomic."""

    atomic = False
    dependencies = [("outbox", "0020_site_search")]

    operations = [
        AddIndexOnline(
            model_name="message",
            index=models.Index(fields=["-listed_at", "-id"], name="outbox_message_newest"),
        ),
        AddIndexOnline(
            model_name="message",
            index=models.Index(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "scheduled",
                            "queued",
                            "deferred",
                            "held",
                            "uncertain",
                            "partial",
                            "failed",
                            "cancelled",
                        ],
                    )
                ),
                fields=["status", "-listed_at", "-id"],
                name="outbox_message_status",
            ),
        ),
        AddIndexOnline(
            model_name="message",
            index=models.Index(
                condition=models.Q(("has_failure", True)),
                fields=["-listed_at", "-id"],
                name="outbox_message_failures",
            ),
        ),
        RemoveIndexOnline(model_name="message", name="outbox_message_folder"),
        RemoveIndexOnline(model_name="message", name="outbox_message_failed_all"),
        AddIndexOnline(
            model_name="recipient",
            index=models.Index(
                condition=models.Q(("reply_code__gte", 300)),
                fields=["reply_code", "reply_enhanced", "-message"],
                name="outbox_recipient_reply",
            ),
        ),
        AddIndexOnline(
            model_name="recipient",
            index=models.Index(
                condition=models.Q(("ended_as__isnull", False)),
                fields=["ended_as", "-message"],
                name="outbox_recipient_ended",
            ),
        ),
        AddIndexOnline(
            model_name="recipient",
            index=models.Index(
                condition=models.Q(("remote_queue_id", ""), _negated=True),
                fields=["remote_queue_id"],
                name="outbox_recipient_queue_id",
            ),
        ),
    ]
