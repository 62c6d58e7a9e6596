from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0047_place_of_ids"),
    ]

    operations = [
        migrations.AddField(
            model_name="message",
            name="is_sender_given",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="suppression",
            name="report_key",
            field=models.BigIntegerField(editable=False, null=True),
        ),
    ]
