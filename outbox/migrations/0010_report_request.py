import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0009_transport_policy"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReportRequest",
            fields=[
                ("message", models.OneToOneField(
                    on_delete=django.db.models.deletion.CASCADE, primary_key=True,
                    related_name="report_request", serialize=False, to="outbox.message",
                )),
                ("notify", models.CharField(blank=True, max_length=32)),
                ("ret", models.CharField(blank=True, max_length=4)),
                ("envid", models.CharField(blank=True, max_length=100)),
                ("due_at", models.DateTimeField(null=True)),
                ("reported", models.JSONField(default=dict)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(due_at__isnull=False), fields=["due_at"],
                        name="outbox_report_due",
                    ),
                ],
            },
        ),
    ]
