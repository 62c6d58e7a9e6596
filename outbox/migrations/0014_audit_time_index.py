from django.db import migrations, models

from outbox.migrations._operations import AddIndexOnline


class Migration(migrations.Migration):
    """The index is built while the table is in use, so that this migration is not atomic."""

    atomic = False
    dependencies = [("outbox", "0013_quotas")]

    operations = [
        AddIndexOnline(
            model_name="auditentry",
            index=models.Index(fields=["at"], name="outbox_audit_at"),
        ),
    ]
