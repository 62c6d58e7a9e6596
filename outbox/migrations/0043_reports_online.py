from django.db import migrations, models
from django.db.models.functions import Lower

from outbox.migrations._operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("outbox", "0042_reports"),
    ]

    operations = [
        AddIndexOnline(
            "inboundreport",
            models.Index(
                fields=["id"],
                name="outbox_report_pending",
                condition=models.Q(is_pending=True),
            ),
        ),
        AddIndexOnline(
            "inboundreport",
            models.Index(
                Lower("address"),
                "at",
                name="outbox_report_soft",
                condition=models.Q(is_applied=True, effect="soft"),
            ),
        ),
        AddIndexOnline(
            "inboundreport",
            models.Index(
                fields=["-at"],
                name="outbox_report_unexplained",
                condition=models.Q(kind="bounce", rule=""),
            ),
        ),
    ]
