import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("outbox", "0004_unused_report_index"),
    ]

    operations = [
        migrations.CreateModel(
            name="DomainCheck",
            fields=[
                ("domain", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("due_at", models.DateTimeField(null=True)),
                ("requested_at", models.DateTimeField(null=True)),
                ("checked_at", models.DateTimeField(null=True)),
                ("findings", models.JSONField(default=list)),
                ("known", models.JSONField(default=dict)),
                ("changes", models.JSONField(default=dict)),
                ("requested_by", models.ForeignKey(
                    db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL,
                    related_name="+", to=settings.AUTH_USER_MODEL,
                )),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="outbox_domain_due")],
            },
        ),
    ]
