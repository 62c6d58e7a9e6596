from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0006_alarm_of_sender_domains"),
    ]

    operations = [
        migrations.AddField(
            model_name="mailbox",
            name="inbox_sum",
            field=models.JSONField(editable=False, null=True),
        ),
    ]
