from django.db import migrations, models


class Migration(migrations.Migration):
    """Each column has a default of the database, so that no row is written."""

    dependencies = [
        ("outbox", "0046_names_of_models"),
    ]

    operations = [
        migrations.AddField(
            "mailbox",
            "ids_of",
            models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            "mailbox",
            "unclear_logins",
            models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            "servermessage",
            "sha256",
            models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            "servermessage",
            "returned",
            models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
