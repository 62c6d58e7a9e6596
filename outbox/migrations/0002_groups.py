"""Groups of staff: viewers, operators and administrators, with their permissions.

A group that exists already is left as it is.
"""

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations, router

VIEWERS = (
    "view_message", "view_recipient", "view_attempt", "view_destination", "view_suppression",
    "view_bulkoperation", "view_alarm", "view_worker",
)  # fmt: skip
OPERATORS = (
    *VIEWERS, "change_message", "change_destination", "add_suppression", "delete_suppression",
    "view_account",
)  # fmt: skip
ADMINISTRATORS = (
    *OPERATORS, "read_source", "add_account", "change_account", "delete_account", "share_account",
    "trust_account", "view_all_accounts", "view_auditentry", "view_template", "add_template",
    "change_template", "delete_template", "view_webhook", "add_webhook", "change_webhook",
    "delete_webhook", "view_webhookcall", "change_webhookcall", "view_quota", "add_quota",
    "change_quota", "delete_quota", "view_signingkey", "add_signingkey", "change_signingkey",
    "delete_signingkey", "view_oauthprovider", "add_oauthprovider", "change_oauthprovider",
    "delete_oauthprovider",
)  # fmt: skip
GROUPS = {
    "Outbox viewers": VIEWERS,
    "Outbox operators": OPERATORS,
    "Outbox administrators": ADMINISTRATORS,
}


def make_groups(apps: Any, schema_editor: Any) -> None:
    """Create the groups. Can be run again."""
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group")
    if not router.allow_migrate_model(using, groups):
        return
    # Django creates permissions after all migrations, which is too late for a new database.
    config = installed.get_app_config("outbox")
    create_permissions(config, verbosity=0, interactive=False, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    of_outbox = permissions.filter(content_type__app_label="outbox")
    for name, codenames in GROUPS.items():
        group, is_new = groups.objects.using(using).get_or_create(name=name)
        if is_new:
            group.permissions.set(of_outbox.filter(codename__in=codenames))


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0001_tables"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
