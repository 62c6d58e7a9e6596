from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0041_mailbox_notices"),
    ]

    operations = [
        migrations.AddField(
            model_name='account',
            name='suppress_bounces',
            field=models.BooleanField(blank=True, help_text='An address that does not exist receives no further messages from this account, nor does one from which several messages came back.', null=True, verbose_name='suppress addresses that bounce'),
        ),
        migrations.AddField(
            model_name='inboundreport',
            name='attempt_key',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='inboundreport',
            name='is_pending',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name='event',
            name='kind',
            field=models.CharField(choices=[('queued', 'queued'), ('cancelled', 'cancelled'), ('cancel_too_late', 'too late to cancel'), ('retried', 'retried'), ('resolved', 'resolved by a user'), ('held', 'held'), ('released', 'released'), ('rescheduled', 'rescheduled'), ('reopened', 'returned to drafts'), ('expired', 'expired'), ('lost_worker', 'worker lost'), ('resent', "retried by the account's policy"), ('read', 'content opened by staff'), ('late_reply', 'late reply received'), ('bounced', 'bounced'), ('reported', 'report received'), ('bounce_corrected', 'bounce corrected by a user')], max_length=20),
        ),
    ]
