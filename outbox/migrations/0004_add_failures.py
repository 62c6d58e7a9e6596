"""Columns that are added without a rewrite of their table, and two small tables."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contenttypes', '0002_remove_content_type_name'),
        ('outbox', '0003_message_read_source'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='message',
            name='has_failure',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='message',
            name='failed_count',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='message',
            name='failure_unseen',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='message',
            name='failure_unreported',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='recipient',
            name='attempts_at_retry',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='preferences',
            name='failure_digest',
            field=models.CharField(choices=[('at_once', 'At once'), ('daily', 'Once a day'), ('never', 'Never')], default='at_once', max_length=7, verbose_name='email about failed messages'),
        ),
        migrations.CreateModel(
            name='FailureDigest',
            fields=[
                ('addressee_key', models.BigIntegerField(primary_key=True, serialize=False)),
                ('due_at', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('messages', models.ManyToManyField(related_name='+', to='outbox.message')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='outbox_digest_due')],
            },
        ),
        migrations.CreateModel(
            name='BulkOperation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(choices=[('retry', 'Retry'), ('cancel', 'Cancel')], max_length=8, verbose_name='action')),
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
                'indexes': [models.Index(condition=models.Q(('confirmed_at__isnull', False), ('finished_at__isnull', True)), fields=['id'], name='outbox_bulk_unfinished')],
            },
        ),
    ]
