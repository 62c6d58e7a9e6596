"""Groups of staff: viewers, operators and administrators, with their permissions.

A group that exists already is left as it is. Users and groups who have permissions of the outbox
could see every account so far, and continue to.
"""

from typing import Any

from django.apps import apps as installed
from django.conf import settings
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
    "change_quota", "delete_quota",
)  # fmt: skip
GROUPS = {
    "Outbox viewers": VIEWERS,
    "Outbox operators": OPERATORS,
    "Outbox administrators": ADMINISTRATORS,
}
_VIEW_ALL = "view_all_accounts"


def make_groups(apps: Any, schema_editor: Any) -> None:
    """Create the groups, and keep what others could see. Can be run again."""
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group")
    if not router.allow_migrate_model(using, groups):
        return
    # Django creates permissions after all migrations, which is too late for a new database.
    config = installed.get_app_config("outbox")
    create_permissions(config, verbosity=0, interactive=False, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    of_outbox = permissions.filter(content_type__app_label="outbox")
    _keep_view(apps, of_outbox, using)
    for name, codenames in GROUPS.items():
        group, is_new = groups.objects.using(using).get_or_create(name=name)
        if is_new:
            group.permissions.set(of_outbox.filter(codename__in=codenames))


def _keep_view(apps: Any, of_outbox: Any, using: str) -> None:
    """Give `view_all_accounts` to those with a permission of the outbox, unless it was in use."""
    view_all = of_outbox.get(codename=_VIEW_ALL)
    group, user = apps.get_model("auth", "Group"), apps.get_model(settings.AUTH_USER_MODEL)
    holders = [(group.objects.using(using).exclude(name__in=GROUPS), "permissions")]
    if any(field.name == "user_permissions" for field in user._meta.get_fields()):
        holders.append((user._default_manager.using(using), "user_permissions"))
    if any(rows.filter(**{name: view_all}).exists() for rows, name in holders):
        return
    for rows, name in holders:
        for holder in rows.filter(**{f"{name}__in": of_outbox}).distinct():
            getattr(holder, name).add(view_all)


class Migration(migrations.Migration):

    dependencies = [
        ("outbox", "0029_staff_groups"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
