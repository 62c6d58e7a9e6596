from django.db import migrations

from outbox.migrations._operations import AddStatistics


class Migration(migrations.Migration):
    dependencies = [("outbox", "0034_signing_keys")]

    operations = [
        # An enhanced code belongs to one or two reply codes.
        AddStatistics(
            "recipient", ["reply_code", "reply_enhanced"], name="outbox_recipient_reply_stats"
        ),
    ]
