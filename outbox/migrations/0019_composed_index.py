from django.db import migrations, models

from outbox.migrations._operations import AddIndexOnline


class Migration(migrations.Migration):
    """The index is built while the table is in use, so that this migration is not atomic."""

    atomic = False
    dependencies = [("outbox", "0018_pending_holds")]

    operations = [
        AddIndexOnline(
            model_name="message",
            index=models.Index(
                condition=models.Q(
                    ("folder__in", ["outbox", "scheduled"]), ("origin", "compose")
                ),
                fields=["account", "owner"],
                name="outbox_message_composed",
            ),
        ),
    ]
