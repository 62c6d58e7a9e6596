"""Every table. This file is frozen: later changes add migrations that need no long lock."""

import datetime
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import outbox.db.folded
import outbox.models.message
import outbox.models.reasons
import outbox.models.terms
from django.conf import settings
from django.db import migrations, models

from outbox.migrations._operations import SetFillFactor


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('origin', models.CharField(choices=[('compose', 'composed on this site'), ('backend', "sent by an app through Django's email API"), ('api', 'queued by an app'), ('report', 'a report on failed messages')], default='compose', max_length=8)),
                ('status', models.CharField(choices=[('draft', 'draft'), ('scheduled', 'scheduled'), ('queued', 'queued'), ('sending', 'sending'), ('deferred', 'deferred'), ('held', 'held'), ('uncertain', 'uncertain'), ('sent', 'sent'), ('partial', 'partly sent'), ('failed', 'failed'), ('cancelled', 'cancelled')], default='draft', max_length=10)),
                ('folder', models.CharField(choices=[('drafts', 'Drafts'), ('scheduled', 'Scheduled'), ('outbox', 'Outbox'), ('sent', 'Sent'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='drafts', max_length=10)),
                ('has_failure', models.BooleanField(db_default=False, default=False)),
                ('failed_count', models.PositiveIntegerField(db_default=0, default=0)),
                ('failure_unseen', models.BooleanField(db_default=False, default=False)),
                ('failure_unreported', models.BooleanField(db_default=False, default=False)),
                ('subject', models.TextField(blank=True)),
                ('from_header', models.TextField(blank=True)),
                ('envelope_sender', models.CharField(blank=True, max_length=320)),
                ('to_summary', models.CharField(blank=True, max_length=200)),
                ('snippet', models.CharField(blank=True, max_length=160)),
                ('message_id', models.CharField(blank=True, max_length=998)),
                ('in_reply_to', models.CharField(blank=True, max_length=998)),
                ('importance', models.CharField(choices=[('high', 'High'), ('normal', 'Normal'), ('low', 'Low')], default='normal', max_length=6)),
                ('tags', models.JSONField(blank=True, default=list)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('related_id', models.CharField(blank=True, db_default='', max_length=255)),
                ('idempotency_key', models.CharField(blank=True, default=None, max_length=255, null=True)),
                ('size', models.PositiveIntegerField(default=0)),
                ('recipient_count', models.PositiveIntegerField(default=0)),
                ('attachment_count', models.PositiveIntegerField(default=0)),
                ('needs_8bit', models.BooleanField(default=False)),
                ('needs_smtputf8', models.BooleanField(default=False)),
                ('on_uncertain', models.CharField(blank=True, max_length=8)),
                ('wants_report', models.BooleanField(db_default=False, default=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('listed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now, editable=False)),
                ('queued_at', models.DateTimeField(blank=True, null=True)),
                ('send_at', models.DateTimeField(blank=True, null=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'permissions': [('read_source', "Can read the content of other people's messages")],
            },
        ),
        migrations.CreateModel(
            name='SearchMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('upto', models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('url', models.CharField(max_length=2000, validators=[django.core.validators.URLValidator(schemes=['https', 'http'])], verbose_name='URL')),
                ('secret_encrypted', models.TextField(blank=True, editable=False)),
                ('states', models.JSONField(blank=True, default=list, help_text='States that trigger this webhook. Empty means all.', verbose_name='states')),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['name', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('from_name', models.CharField(blank=True, max_length=200, verbose_name='sender name')),
                ('from_address', models.CharField(max_length=320, verbose_name='sender address')),
                ('reply_to', models.CharField(blank=True, max_length=320, verbose_name='reply to')),
                ('signature', models.TextField(blank=True, verbose_name='signature')),
                ('host', models.CharField(max_length=255, verbose_name='server')),
                ('port', models.PositiveIntegerField(default=587, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(65535)], verbose_name='port')),
                ('security', models.CharField(choices=[('none', 'None (not encrypted)'), ('starttls', 'STARTTLS (required)'), ('tls', 'Implicit TLS')], default='starttls', max_length=8, verbose_name='security')),
                ('username', models.CharField(blank=True, max_length=255, verbose_name='user name')),
                ('secret_encrypted', models.TextField(blank=True, editable=False)),
                ('secret_is_token', models.BooleanField(default=False, verbose_name='the password is an OAuth 2 access token')),
                ('max_connections', models.PositiveSmallIntegerField(default=10, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(500)], verbose_name='simultaneous connections')),
                ('per_minute', models.PositiveIntegerField(blank=True, null=True, verbose_name='recipients per minute')),
                ('per_day', models.PositiveIntegerField(blank=True, null=True, verbose_name='recipients per day')),
                ('on_uncertain', models.CharField(choices=[('hold', 'hold until a person decides'), ('resend', 'send again after a delay')], default='resend', max_length=8, verbose_name='when delivery is uncertain')),
                ('resend_after', models.DurationField(default=datetime.timedelta(seconds=14400), verbose_name='send again after')),
                ('is_app_default', models.BooleanField(default=False, verbose_name='default for apps that do not name an account')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('tested_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('groups', models.ManyToManyField(blank=True, help_text='Groups whose members may send from the account.', related_name='+', to='auth.group')),
                ('owner', models.ForeignKey(blank=True, help_text='The user who may edit the account. Without an owner, staff edit it.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('users', models.ManyToManyField(blank=True, help_text='Users who may send from the account.', related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'id'],
            },
        ),
        migrations.CreateModel(
            name='BulkOperation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(max_length=16, verbose_name='action')),
                ('why', models.TextField(blank=True, verbose_name='why')),
                ('selection', models.TextField(blank=True, verbose_name='filter')),
                ('message_ids', models.JSONField(default=list)),
                ('highest_id', models.BigIntegerField(default=0)),
                ('count', models.PositiveIntegerField(verbose_name='messages')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='counted at')),
                ('confirmed_at', models.DateTimeField(null=True, verbose_name='confirmed at')),
                ('lease_until', models.DateTimeField(null=True)),
                ('last_id', models.BigIntegerField(default=0)),
                ('done_count', models.PositiveIntegerField(default=0, verbose_name='messages done')),
                ('changed_count', models.PositiveIntegerField(default=0, verbose_name='recipients changed')),
                ('skipped_count', models.PositiveIntegerField(default=0, verbose_name='messages skipped')),
                ('finished_at', models.DateTimeField(null=True, verbose_name='finished at')),
                ('actor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
            ],
            options={
                'verbose_name': 'bulk operation',
                'verbose_name_plural': 'bulk operations',
            },
        ),
        migrations.CreateModel(
            name='Contact',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(blank=True, max_length=200, verbose_name='name')),
                ('address', models.CharField(max_length=320, verbose_name='address')),
                ('key', models.CharField(editable=False, max_length=320)),
                ('sort_key', models.CharField(editable=False, max_length=200)),
                ('is_kept', models.BooleanField(default=False)),
                ('used_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Destination',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(default='smarthost', max_length=255)),
                ('circuit', models.CharField(choices=[('closed', 'closed'), ('open', 'open'), ('half_open', 'half open')], default='closed', max_length=10)),
                ('circuit_until', models.DateTimeField(blank=True, null=True)),
                ('circuit_opened_at', models.DateTimeField(blank=True, null=True)),
                ('circuit_faults', models.PositiveIntegerField(default=0)),
                ('circuit_trips', models.PositiveIntegerField(default=0)),
                ('circuit_reason', outbox.models.reasons.ReasonField()),
                ('circuit_needs_person', models.BooleanField(default=False)),
                ('minute_started_at', models.DateTimeField(blank=True, null=True)),
                ('minute_count', models.PositiveIntegerField(default=0)),
                ('day_started_at', models.DateTimeField(blank=True, null=True)),
                ('day_count', models.PositiveIntegerField(default=0)),
                ('paused_until', models.DateTimeField(blank=True, null=True)),
                ('paused_reason', outbox.models.reasons.ReasonField()),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='destinations', to='outbox.account')),
            ],
        ),
        migrations.CreateModel(
            name='Draft',
            fields=[
                ('message', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='draft', serialize=False, to='outbox.message')),
                ('to', models.TextField(blank=True)),
                ('cc', models.TextField(blank=True)),
                ('bcc', models.TextField(blank=True)),
                ('reply_to', models.TextField(blank=True)),
                ('text', models.TextField(blank=True)),
                ('html', models.TextField(blank=True)),
                ('references', models.TextField(blank=True)),
                ('made_as', models.CharField(blank=True, choices=[('reply', 'reply'), ('forward', 'forward'), ('copy', 'copy'), ('resend', 'copy for failed recipients')], max_length=7)),
                ('version', models.PositiveIntegerField(default=1)),
                ('saved_from', models.CharField(blank=True, max_length=22)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name='SearchEntry',
            fields=[
                ('message', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='search_entry', serialize=False, to='outbox.message')),
                ('owner_key', models.BigIntegerField()),
                ('listed_at', models.DateTimeField()),
                ('head', outbox.models.terms.TermsField()),
                ('body', outbox.models.terms.TermsField()),
            ],
        ),
        migrations.CreateModel(
            name='Source',
            fields=[
                ('message', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='source', serialize=False, to='outbox.message')),
                ('data', models.BinaryField(null=True)),
                ('file', models.FileField(blank=True, storage=outbox.models.message.file_storage, upload_to='sources/%Y/%m/%d')),
                ('sha256', models.CharField(max_length=64)),
            ],
        ),
        migrations.AddField(
            model_name='message',
            name='account',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='messages', to='outbox.account'),
        ),
        migrations.AddField(
            model_name='message',
            name='made_from',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='made_into', to='outbox.message'),
        ),
        migrations.AddField(
            model_name='message',
            name='owner',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='message',
            name='related_type',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='contenttypes.contenttype'),
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number_in_session', models.PositiveIntegerField(default=0)),
                ('started_at', models.DateTimeField()),
                ('dot_marked_at', models.DateTimeField(null=True)),
                ('cancel_requested_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('outcome', models.CharField(blank=True, choices=[('', 'in progress'), ('sent', 'sent'), ('partial', 'partly sent'), ('deferred', 'deferred'), ('failed', 'failed'), ('uncertain', 'uncertain'), ('cancelled', 'cancelled'), ('abandoned', 'abandoned'), ('quarantined', 'quarantined')], default='', max_length=12)),
                ('is_resend', models.BooleanField(default=False)),
                ('phase', models.CharField(blank=True, max_length=10)),
                ('fault', models.CharField(blank=True, max_length=20)),
                ('reason', outbox.models.reasons.ReasonField()),
                ('reply_code', models.PositiveSmallIntegerField(null=True)),
                ('reply_enhanced', models.CharField(blank=True, max_length=12)),
                ('reply_text', models.TextField(blank=True)),
                ('reply_command', models.CharField(blank=True, db_default='', max_length=8)),
                ('results', models.TextField(blank=True)),
                ('phases_ms', models.TextField(blank=True)),
                ('transfer', models.TextField(blank=True)),
                ('sent_sha256', models.CharField(blank=True, max_length=64)),
                ('late_reply', models.TextField(blank=True)),
                ('traceback', models.TextField(blank=True)),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='outbox.message')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Attachment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255)),
                ('content_type', models.CharField(default='application/octet-stream', max_length=255)),
                ('size', models.PositiveIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('content_id', models.CharField(blank=True, max_length=255)),
                ('file', models.FileField(storage=outbox.models.message.file_storage, upload_to='attachments/%Y/%m/%d')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attachments', to='outbox.message')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='FailureDigest',
            fields=[
                ('addressee_key', models.BigIntegerField(primary_key=True, serialize=False)),
                ('due_at', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('messages', models.ManyToManyField(related_name='+', to='outbox.message')),
            ],
        ),
        migrations.CreateModel(
            name='Preferences',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('time_zone', models.CharField(blank=True, max_length=64, verbose_name='time zone')),
                ('language', models.CharField(blank=True, max_length=16, verbose_name='language')),
                ('theme', models.CharField(blank=True, choices=[('light', 'Light'), ('dark', 'Dark')], max_length=8, verbose_name='theme')),
                ('page_size', models.PositiveSmallIntegerField(blank=True, null=True, verbose_name='messages per page')),
                ('uses_shortcuts', models.BooleanField(default=True, verbose_name='keyboard shortcuts')),
                ('signature', models.TextField(blank=True, verbose_name='signature')),
                ('undo_period', models.PositiveSmallIntegerField(blank=True, null=True, verbose_name='undo send')),
                ('writes_rich', models.BooleanField(default=False, verbose_name='write with formatting')),
                ('failure_digest', models.CharField(choices=[('at_once', 'At once'), ('daily', 'Once a day'), ('never', 'Never')], default='at_once', max_length=7, verbose_name='email about failed messages')),
                ('default_account', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outbox.account', verbose_name='default account')),
            ],
            options={
                'verbose_name_plural': 'preferences',
            },
        ),
        migrations.CreateModel(
            name='Recipient',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('to', 'To'), ('cc', 'Cc'), ('bcc', 'Bcc')], default='to', max_length=3)),
                ('name', models.CharField(blank=True, max_length=255)),
                ('address', models.CharField(max_length=320)),
                ('sender_key', models.BigIntegerField(default=0)),
                ('priority', models.PositiveSmallIntegerField(default=3)),
                ('state', models.CharField(choices=[('queued', 'queued'), ('sending', 'sending'), ('sent', 'sent'), ('deferred', 'deferred'), ('failed', 'failed'), ('uncertain', 'uncertain'), ('cancelled', 'cancelled'), ('expired', 'expired'), ('held', 'held'), ('bounced', 'bounced')], default='queued', max_length=10)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('resend_at', models.DateTimeField(null=True)),
                ('expires_at', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('attempts_at_retry', models.PositiveIntegerField(db_default=0, default=0)),
                ('first_attempt_at', models.DateTimeField(null=True)),
                ('last_attempt_at', models.DateTimeField(null=True)),
                ('final_at', models.DateTimeField(null=True)),
                ('ended_as', models.CharField(max_length=10, null=True)),
                ('reply_code', models.PositiveSmallIntegerField(null=True)),
                ('reply_enhanced', models.CharField(blank=True, max_length=12)),
                ('reply_text', models.TextField(blank=True)),
                ('reply_command', models.CharField(blank=True, max_length=8)),
                ('remote_host', models.CharField(blank=True, max_length=255)),
                ('remote_queue_id', models.CharField(blank=True, max_length=100)),
                ('reason', outbox.models.reasons.ReasonField()),
                ('attempt', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outbox.attempt')),
                ('destination', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outbox.destination')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='recipients', to='outbox.message')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('queued', 'queued'), ('cancelled', 'cancelled'), ('cancel_too_late', 'cancel came too late'), ('retried', 'retried'), ('resolved', 'resolved by a person'), ('held', 'held'), ('released', 'released'), ('rescheduled', 'rescheduled'), ('reopened', 'returned to drafts'), ('expired', 'expired'), ('lost_worker', 'the worker died'), ('resent', 'sent again by policy'), ('late_reply', 'a late reply arrived')], max_length=20)),
                ('from_state', models.CharField(blank=True, choices=[('queued', 'queued'), ('sending', 'sending'), ('sent', 'sent'), ('deferred', 'deferred'), ('failed', 'failed'), ('uncertain', 'uncertain'), ('cancelled', 'cancelled'), ('expired', 'expired'), ('held', 'held'), ('bounced', 'bounced')], max_length=10)),
                ('to_state', models.CharField(blank=True, choices=[('queued', 'queued'), ('sending', 'sending'), ('sent', 'sent'), ('deferred', 'deferred'), ('failed', 'failed'), ('uncertain', 'uncertain'), ('cancelled', 'cancelled'), ('expired', 'expired'), ('held', 'held'), ('bounced', 'bounced')], max_length=10)),
                ('reason', outbox.models.reasons.ReasonField()),
                ('why', models.TextField(blank=True)),
                ('at', models.DateTimeField()),
                ('actor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='events', to='outbox.message')),
                ('recipient', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='outbox.recipient')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='SmtpSession',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(max_length=255)),
                ('address', models.CharField(blank=True, max_length=64)),
                ('port', models.PositiveIntegerField(default=0)),
                ('local_address', models.CharField(blank=True, max_length=64)),
                ('started_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('greeting', models.TextField(blank=True)),
                ('extensions', models.JSONField(default=dict)),
                ('tls', models.JSONField(null=True)),
                ('auth_mechanism', models.CharField(blank=True, max_length=20)),
                ('tried', models.JSONField(default=list)),
                ('phases_ms', models.JSONField(default=dict)),
                ('opening', models.TextField(blank=True)),
                ('closing', models.TextField(blank=True)),
                ('destination', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outbox.destination')),
            ],
        ),
        migrations.AddField(
            model_name='attempt',
            name='session',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='attempts', to='outbox.smtpsession'),
        ),
        migrations.CreateModel(
            name='Template',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('subject', models.TextField(blank=True, verbose_name='subject')),
                ('text', models.TextField(blank=True, verbose_name='text')),
                ('html', models.TextField(blank=True, verbose_name='HTML')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('owner', models.ForeignKey(blank=True, help_text='The user who may edit the template. Without an owner, apps can use it by name.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'id'],
            },
        ),
        migrations.CreateModel(
            name='WebhookCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('body', models.TextField()),
                ('created_at', models.DateTimeField()),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('taken_at', models.DateTimeField(null=True)),
                ('reply_code', models.PositiveSmallIntegerField(null=True)),
                ('result', outbox.models.reasons.ReasonField()),
                ('webhook', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='calls', to='outbox.webhook')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(max_length=255)),
                ('pid', models.PositiveIntegerField()),
                ('version', models.CharField(blank=True, max_length=40)),
                ('started_at', models.DateTimeField()),
                ('heartbeat_at', models.DateTimeField()),
                ('lease_until', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('swept_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('ended_at', None)), fields=['lease_until'], name='outbox_worker_alive'), models.Index(condition=models.Q(('swept_at', None)), fields=['ended_at'], name='outbox_worker_unswept')],
            },
        ),
        migrations.AddField(
            model_name='smtpsession',
            name='worker',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outbox.worker'),
        ),
        migrations.CreateModel(
            name='Slot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('destination', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='outbox.destination')),
                ('worker', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='outbox.worker')),
            ],
        ),
        migrations.AddField(
            model_name='destination',
            name='probe_worker',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outbox.worker'),
        ),
        migrations.AddField(
            model_name='attempt',
            name='worker',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outbox.worker'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.UniqueConstraint(condition=models.Q(('is_app_default', True)), fields=('is_app_default',), name='outbox_account_one_app_default'),
        ),
        migrations.AddIndex(
            model_name='bulkoperation',
            index=models.Index(condition=models.Q(('confirmed_at__isnull', False), ('finished_at__isnull', True)), fields=['id'], name='outbox_bulk_unfinished'),
        ),
        migrations.AddIndex(
            model_name='contact',
            index=models.Index(fields=['owner', 'sort_key', 'id'], name='outbox_contact_book'),
        ),
        migrations.AddIndex(
            model_name='contact',
            index=models.Index(fields=['owner', '-used_at'], name='outbox_contact_used'),
        ),
        migrations.AddConstraint(
            model_name='contact',
            constraint=models.UniqueConstraint(fields=('owner', 'key'), name='outbox_contact_once'),
        ),
        migrations.AddIndex(
            model_name='searchentry',
            index=models.Index(fields=['owner_key', '-listed_at', '-message'], name='outbox_search_list'),
        ),
        migrations.AddIndex(
            model_name='searchentry',
            index=outbox.models.terms.TermsIndex(fields=['head'], name='outbox_search_head'),
        ),
        migrations.AddIndex(
            model_name='searchentry',
            index=outbox.models.terms.TermsIndex(fields=['body'], name='outbox_search_body'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['owner', 'folder', '-listed_at', '-id'], name='outbox_message_list'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('status__in', ['uncertain', 'held', 'partial'])), fields=['owner', 'status', '-listed_at', '-id'], name='outbox_message_rare'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['folder', '-id'], name='outbox_message_folder'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('has_failure', True)), fields=['owner', '-listed_at', '-id'], name='outbox_message_failed'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('has_failure', True)), fields=['-id'], name='outbox_message_failed_all'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('failure_unseen', True)), fields=['owner', '-id'], name='outbox_message_unseen'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('failure_unreported', True)), fields=['id'], name='outbox_message_unreported'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['message_id'], name='outbox_message_msgid'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('made_from__isnull', False)), fields=['made_from'], name='outbox_message_made_from'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('related_type__isnull', False)), fields=['related_type', 'related_id'], name='outbox_message_related'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.UniqueConstraint(condition=models.Q(('idempotency_key__isnull', False)), fields=('idempotency_key',), name='outbox_message_idempotent'),
        ),
        migrations.AddIndex(
            model_name='failuredigest',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='outbox_digest_due'),
        ),
        migrations.AddIndex(
            model_name='recipient',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['destination', 'priority', 'sender_key', 'next_attempt_at', 'id'], name='outbox_recipient_claim'),
        ),
        migrations.AddIndex(
            model_name='recipient',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['destination', 'next_attempt_at'], name='outbox_recipient_poll'),
        ),
        migrations.AddIndex(
            model_name='recipient',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['expires_at'], name='outbox_recipient_expire'),
        ),
        migrations.AddIndex(
            model_name='recipient',
            index=models.Index(condition=models.Q(('resend_at__isnull', False)), fields=['resend_at'], name='outbox_recipient_resend'),
        ),
        migrations.AddIndex(
            model_name='recipient',
            index=models.Index(condition=models.Q(('reply_code__gte', 300)), fields=['sender_key', 'reply_code', 'reply_enhanced', '-message'], name='outbox_recipient_refusal'),
        ),
        migrations.AddIndex(
            model_name='recipient',
            index=models.Index(condition=models.Q(('ended_as__isnull', False)), fields=['sender_key', 'ended_as', '-message'], name='outbox_recipient_end'),
        ),
        migrations.AddIndex(
            model_name='recipient',
            index=outbox.db.folded.FoldedIndex('address', name='outbox_recipient_folded'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(fields=('owner', 'name'), name='outbox_template_one'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(condition=models.Q(('owner', None)), fields=('name',), name='outbox_template_one_of_site'),
        ),
        migrations.AddIndex(
            model_name='webhookcall',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at', 'id'], name='outbox_webhookcall_due'),
        ),
        migrations.AddIndex(
            model_name='webhookcall',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', True)), fields=['created_at'], name='outbox_webhookcall_over'),
        ),
        migrations.AddConstraint(
            model_name='slot',
            constraint=models.UniqueConstraint(fields=('destination', 'number'), name='outbox_slot_one'),
        ),
        migrations.AddConstraint(
            model_name='destination',
            constraint=models.UniqueConstraint(fields=('account', 'key'), name='outbox_destination_one'),
        ),
        # An attempt grows from 150 to 1,000 bytes, a recipient from 200 to 400 (decision 0008).
        SetFillFactor("attempt", 12),
        SetFillFactor("recipient", 45),
        SetFillFactor("message", 70),
    ]
