from django.db import migrations, models

from outbox.migrations._operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("outbox", "0039_received"),
    ]

    operations = [
        AddIndexOnline(
            "message",
            models.Index(
                fields=["made_from_received"],
                name="outbox_message_made_received",
                condition=models.Q(made_from_received__isnull=False),
            ),
        ),
    ]
