"""DKIM keys, the signatures that an attempt sent, and the permissions of the new page.

The group of administrators gets these permissions unless a site has changed what it may do.
"""

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations, models, router

ADMINISTRATORS = "Outbox administrators"
ADDED = ("view_signingkey", "add_signingkey", "change_signingkey", "delete_signingkey")
_NEEDED = ("change_account", "view_all_accounts")


def add_permissions(apps: Any, schema_editor: Any) -> None:
    """Add the permissions to the group if it may change the accounts of the site."""
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group")
    if not router.allow_migrate_model(using, groups):
        return
    # Django creates permissions after all migrations.
    config = installed.get_app_config("outbox")
    create_permissions(config, verbosity=0, interactive=False, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    of_outbox = permissions.filter(content_type__app_label="outbox")
    for group in groups.objects.using(using).filter(name=ADMINISTRATORS):
        held = group.permissions.filter(content_type__app_label="outbox", codename__in=_NEEDED)
        if held.count() == len(_NEEDED):
            group.permissions.add(*of_outbox.filter(codename__in=ADDED))


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0033_suppressed_in_bulk_operations"),
    ]

    operations = [
        migrations.CreateModel(
            name='SigningKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('domain', models.CharField(max_length=253, verbose_name='domain')),
                ('selector', models.CharField(max_length=200, verbose_name='selector')),
                ('algorithm', models.CharField(choices=[('rsa-sha256', 'RSA 2048'), ('ed25519-sha256', 'Ed25519')], max_length=14, verbose_name='algorithm')),
                ('public_key', models.TextField(editable=False, verbose_name='public key')),
                ('private_encrypted', models.TextField(editable=False)),
                ('state', models.CharField(choices=[('new', 'not in use yet'), ('active', 'active'), ('retired', 'retired')], default='new', editable=False, max_length=7, verbose_name='state')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('activated_at', models.DateTimeField(editable=False, null=True, verbose_name='active since')),
                ('retired_at', models.DateTimeField(editable=False, null=True, verbose_name='retired at')),
            ],
            options={
                'verbose_name': 'DKIM key',
                'verbose_name_plural': 'DKIM keys',
                'ordering': ['domain', 'selector'],
                'constraints': [models.UniqueConstraint(fields=('domain', 'selector'), name='outbox_signingkey_name', violation_error_message='A key with this domain and selector exists.')],
            },
        ),
        migrations.AddField(
            model_name='attempt',
            name='signature',
            field=models.TextField(null=True),
        ),
        migrations.RunPython(add_permissions, migrations.RunPython.noop),
    ]
