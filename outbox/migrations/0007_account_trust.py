"""Accounts: trust and activity as fields, and a default for apps that belongs to the site."""

from typing import Any

from django.conf import settings
from django.db import migrations, models

import outbox.models.account


def trust_accounts_of_site(apps: Any, schema_editor: Any) -> None:
    """Trust the accounts without an owner, which could reach the private network so far."""
    accounts = apps.get_model("outbox", "Account").objects.using(schema_editor.connection.alias)
    accounts.filter(owner=None).update(is_trusted=True)


def release_app_default(apps: Any, schema_editor: Any) -> None:
    """Turn a user's account that apps use into one of the site, which that user may send with.

    Apps continue to send with it. Staff change it in the admin.
    """
    accounts = apps.get_model("outbox", "Account").objects.using(schema_editor.connection.alias)
    for account in accounts.filter(is_app_default=True, owner__isnull=False):
        account.users.add(account.owner_id)
        account.owner = None
        account.save(update_fields=["owner"])


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ("outbox", "0006_server_restrictions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='account',
            options={'ordering': ['name', 'id'], 'permissions': [('trust_account', 'Can trust accounts with servers in the private network')]},
        ),
        migrations.AddField(
            model_name='account',
            name='is_active',
            field=models.BooleanField(db_default=True, default=True, help_text='Messages of an account that is not active are held.', verbose_name='active'),
        ),
        migrations.AddField(
            model_name='account',
            name='is_trusted',
            field=models.BooleanField(db_default=False, default=False, help_text="A trusted account may connect to servers in the site's private network.", verbose_name='trusted'),
        ),
        migrations.AlterField(
            model_name='account',
            name='owner',
            field=models.ForeignKey(blank=True, help_text='The user who may edit the account. Without an owner, staff edit it.', null=True, on_delete=outbox.models.account.disable_accounts, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.RunPython(trust_accounts_of_site, migrations.RunPython.noop),
        migrations.RunPython(release_app_default, migrations.RunPython.noop),
    ]
