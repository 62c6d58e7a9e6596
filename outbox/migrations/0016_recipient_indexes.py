from django.db import migrations, models

from outbox.migrations._operations import AddIndexOnline


class Migration(migrations.Migration):
    """The indexes are built while the table is in use, so that this migration is not atomic."""

    atomic = False
    dependencies = [("outbox", "0015_delivery_counts")]

    operations = [
        AddIndexOnline(
            model_name="recipient",
            index=models.Index(
                condition=models.Q(("reply_key__isnull", False)),
                fields=["reply_key", "-id"],
                name="outbox_recipient_group",
            ),
        ),
        AddIndexOnline(
            model_name="recipient",
            index=models.Index(
                condition=models.Q(("final_at", None), ("next_attempt_at", None)),
                fields=["id"],
                name="outbox_recipient_stopped",
            ),
        ),
    ]
