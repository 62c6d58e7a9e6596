from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0002_groups"),
    ]

    operations = [
        migrations.AddField(
            model_name="quota",
            name="max_inbox_bytes",
            field=models.PositiveBigIntegerField(blank=True, null=True, verbose_name="bytes of received messages"),
        ),
    ]
