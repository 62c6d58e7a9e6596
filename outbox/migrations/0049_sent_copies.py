import django.db.models.deletion
import outbox.models.reasons
from django.db import migrations, models


class Migration(migrations.Migration):
    """The table is new, so that its indexes need no time."""

    dependencies = [
        ("outbox", "0048_given_senders"),
    ]

    operations = [
        migrations.AddField(
            "mailbox",
            "files_from",
            models.DateTimeField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name="SentCopy",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="sent_copy",
                        serialize=False,
                        to="outbox.message",
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_at", models.DateTimeField(null=True)),
                ("reason", outbox.models.reasons.ReasonField()),
                ("filed_at", models.DateTimeField(null=True)),
                (
                    "mailbox",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sent_copies",
                        to="outbox.mailbox",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_at__isnull", False)),
                        fields=["mailbox", "next_at"],
                        name="outbox_sentcopy_due",
                    ),
                    models.Index(
                        condition=models.Q(("reason", ""), _negated=True),
                        fields=["mailbox"],
                        name="outbox_sentcopy_failed",
                    ),
                ],
            },
        ),
    ]
