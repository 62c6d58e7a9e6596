import django.db.models.deletion
from django.db import migrations, models

import outbox.models.reasons


class Migration(migrations.Migration):
    dependencies = [("outbox", "0017_last_run")]

    operations = [
        migrations.CreateModel(
            name="PendingHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sender_key", models.BigIntegerField(null=True)),
                ("is_for_composed", models.BooleanField()),
                ("reason", outbox.models.reasons.ReasonField()),
                ("highest_id", models.BigIntegerField()),
                ("held_count", models.PositiveIntegerField(default=0)),
                ("started_at", models.DateTimeField(auto_now_add=True)),
                ("account", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="outbox.account")),
            ],
        ),
    ]
