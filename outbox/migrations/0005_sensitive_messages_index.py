from django.db import migrations, models

from outbox.migrations._operations import AddIndexOnline


class Migration(migrations.Migration):
    """The index is built while the table is in use, so that this migration is not atomic."""

    atomic = False
    dependencies = [("outbox", "0004_sensitive_messages")]

    operations = [
        AddIndexOnline(
            model_name="source",
            index=models.Index(
                condition=models.Q(("erase_at__isnull", False)),
                fields=["erase_at"],
                name="outbox_source_erase",
            ),
        ),
    ]
