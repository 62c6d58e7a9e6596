from django.db import migrations, models

from outbox.migrations._operations import OneTable


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("outbox", "0008_direct_delivery"),
    ]

    operations = [
        OneTable(
            migrations.AddField(
                model_name="message",
                name="tls_requirement",
                field=models.CharField(
                    blank=True, choices=[("required", "required"), ("optional", "optional")],
                    db_default="", default="", max_length=8,
                ),
            ),
        ),
        OneTable(
            migrations.CreateModel(
                name="MtaStsPolicy",
                fields=[
                    ("domain", models.CharField(max_length=255, primary_key=True, serialize=False)),
                    ("policy_id", models.CharField(blank=True, max_length=32)),
                    ("mode", models.CharField(max_length=10)),
                    ("mx", models.JSONField(default=list)),
                    ("max_age", models.PositiveIntegerField()),
                    ("fetched_at", models.DateTimeField()),
                    ("expires_at", models.DateTimeField()),
                ],
                options={
                    "indexes": [models.Index(fields=["expires_at"], name="outbox_mtasts_expires")],
                },
            ),
        ),
        OneTable(
            migrations.CreateModel(
                name="TlsCount",
                fields=[
                    ("pk", models.CompositePrimaryKey(
                        "day", "worker_key", "domain", "policy_type", "result", "host",
                        blank=True, editable=False, primary_key=True, serialize=False,
                    )),
                    ("day", models.DateTimeField()),
                    ("worker_key", models.BigIntegerField()),
                    ("domain", models.CharField(max_length=255)),
                    ("policy_type", models.CharField(max_length=20)),
                    ("result", models.CharField(blank=True, max_length=40)),
                    ("host", models.CharField(max_length=255)),
                    ("count", models.PositiveIntegerField()),
                    ("is_reported", models.BooleanField(db_default=False, default=False)),
                ],
            ),
        ),
    ]
