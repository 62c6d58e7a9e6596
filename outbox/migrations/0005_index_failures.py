"""Mark the messages that have a failure already, and add the indexes, without stopping writes."""

from django.db import migrations, models

import outbox.models.folded
from outbox.migrations._online import AddIndexOnline, RemoveIndexOnline

AT_ONCE = 500
FAILURES = ("failed", "expired", "bounced")


def mark_known_failures(apps, schema_editor):
    """Set the flag of messages with a failed recipient; nobody is told of these any more."""
    using = schema_editor.connection.alias
    messages = apps.get_model("outbox", "Message").objects.using(using)
    recipients = apps.get_model("outbox", "Recipient").objects.using(using)
    counted = (
        recipients.filter(state__in=FAILURES)
        .order_by()
        .values_list("message")
        .annotate(count=models.Count("id"))
    )
    by_count = {}
    for pk, count in counted.iterator():
        ids = by_count.setdefault(count, [])
        ids.append(pk)
        if len(ids) == AT_ONCE:
            messages.filter(pk__in=by_count.pop(count)).update(has_failure=True, failed_count=count)
    for count, ids in by_count.items():
        messages.filter(pk__in=ids).update(has_failure=True, failed_count=count)
    # Where the other recipients were cancelled by a person, nothing failed.
    messages.filter(folder="failed", status="partial", has_failure=False).update(folder="sent")


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('outbox', '0004_add_failures'),
    ]

    operations = [
        migrations.RunPython(mark_known_failures, migrations.RunPython.noop, elidable=True),
        AddIndexOnline(
            model_name='message',
            index=models.Index(condition=models.Q(('has_failure', True)), fields=['owner', '-listed_at', '-id'], name='outbox_message_failed'),
        ),
        AddIndexOnline(
            model_name='message',
            index=models.Index(condition=models.Q(('has_failure', True)), fields=['-id'], name='outbox_message_failed_all'),
        ),
        AddIndexOnline(
            model_name='message',
            index=models.Index(condition=models.Q(('failure_unseen', True)), fields=['owner', '-id'], name='outbox_message_unseen'),
        ),
        AddIndexOnline(
            model_name='message',
            index=models.Index(condition=models.Q(('failure_unreported', True)), fields=['id'], name='outbox_message_unreported'),
        ),
        AddIndexOnline(
            model_name='recipient',
            index=outbox.models.folded.FoldedIndex('address', name='outbox_recipient_folded'),
        ),
        RemoveIndexOnline(
            model_name='recipient',
            name='outbox_recipient_address',
        ),
    ]
