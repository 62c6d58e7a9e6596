from django.db import migrations, models


class Migration(migrations.Migration):
    """The tables are new, so that the index needs no time."""

    dependencies = [
        ("outbox", "0040_received_online"),
    ]

    operations = [
        migrations.AddField(
            "mailbox",
            "notified_at",
            models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            "oauthtoken",
            "fetches",
            models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            "servermessage",
            models.Index(
                fields=["mailbox"],
                name="outbox_servermessage_skipped",
                condition=models.Q(("skipped", ""), _negated=True),
            ),
        ),
    ]
