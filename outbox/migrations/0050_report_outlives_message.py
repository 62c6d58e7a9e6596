import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0049_sent_copies"),
    ]

    operations = [
        # It changes what Django does, and no table.
        migrations.AlterField(
            model_name="inboundreport",
            name="message",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="reports",
                to="outbox.inboundmessage",
            ),
        ),
    ]
