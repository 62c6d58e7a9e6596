import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("outbox", "0010_report_request"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredSize",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                ("size", models.PositiveBigIntegerField()),
                ("listed_until", models.DateTimeField()),
                ("summed_at", models.DateTimeField()),
            ],
        ),
    ]
