import django.core.validators
import django.db.models.deletion
import outbox.models.terms
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0043_reports_online"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="InboundEntry",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="search_entry",
                        serialize=False,
                        to="outbox.inboundmessage",
                    ),
                ),
                ("owner_key", models.BigIntegerField()),
                ("listed_at", models.DateTimeField()),
                ("head", outbox.models.terms.TermsField()),
                ("body", outbox.models.terms.TermsField()),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["owner_key", "-listed_at", "-message"],
                        name="outbox_inbound_entries",
                    ),
                    outbox.models.terms.TermsIndex(fields=["head"], name="outbox_inbound_head"),
                    outbox.models.terms.TermsIndex(fields=["body"], name="outbox_inbound_body"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReplyReminder",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="reply_reminder",
                        serialize=False,
                        to="outbox.message",
                    ),
                ),
                (
                    "days",
                    models.PositiveSmallIntegerField(
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(365),
                        ]
                    ),
                ),
                ("remind_at", models.DateTimeField()),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["owner", "remind_at"], name="outbox_reminder_due")
                ],
            },
        ),
    ]
