"""The audit log: a new table, so no lock on an existing one."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('outbox', '0001_tables'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='time')),
                ('action', models.CharField(max_length=40, verbose_name='action')),
                ('actor_key', models.CharField(blank=True, max_length=64)),
                ('actor_name', models.CharField(blank=True, max_length=255, verbose_name='user')),
                ('address', models.GenericIPAddressField(null=True, verbose_name='address')),
                ('target_kind', models.CharField(blank=True, max_length=64, verbose_name='kind of target')),
                ('target_key', models.CharField(blank=True, max_length=64)),
                ('target_name', models.CharField(blank=True, max_length=255, verbose_name='target')),
                ('details', models.JSONField(default=dict, verbose_name='details')),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit log',
                'indexes': [models.Index(fields=['action', '-id'], name='outbox_audit_action'), models.Index(fields=['actor_name', '-id'], name='outbox_audit_actor')],
            },
        ),
    ]
