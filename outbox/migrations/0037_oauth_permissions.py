"""The group of administrators may register providers, unless a site has changed the group."""

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations, router

GROUP = "Outbox administrators"
_NEEDED = ("change_account", "view_all_accounts")
PERMISSIONS = (
    "view_oauthprovider", "add_oauthprovider", "change_oauthprovider", "delete_oauthprovider",
)  # fmt: skip


def add_permissions(apps: Any, schema_editor: Any) -> None:
    """Add the permissions to the group if it may change the accounts of the site."""
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group")
    if not router.allow_migrate_model(using, groups):
        return
    # Django creates permissions after all migrations, which is too late for a new database.
    config = installed.get_app_config("outbox")
    create_permissions(config, verbosity=0, interactive=False, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    found = permissions.filter(content_type__app_label="outbox", codename__in=PERMISSIONS)
    for group in groups.objects.using(using).filter(name=GROUP):
        held = group.permissions.filter(content_type__app_label="outbox", codename__in=_NEEDED)
        if held.count() == len(_NEEDED):
            group.permissions.add(*found)


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0036_oauth"),
    ]

    operations = [
        migrations.RunPython(add_permissions, migrations.RunPython.noop),
    ]
