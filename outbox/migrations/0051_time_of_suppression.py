from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0050_report_outlives_message"),
    ]

    operations = [
        # It changes what Django does, and no table.
        migrations.AlterField(
            model_name="suppression",
            name="since",
            field=models.DateTimeField(verbose_name="since"),
        ),
    ]
