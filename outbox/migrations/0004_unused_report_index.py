from django.db import migrations

from outbox.migrations._operations import RemoveIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("outbox", "0003_quota_of_received"),
    ]

    operations = [
        # The earlier soft bounces of an address are found by the address of the recipient.
        RemoveIndexOnline("inboundreport", "outbox_report_soft"),
    ]
