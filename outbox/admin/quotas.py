"""Quotas of users, where they differ from the site's settings."""

from django.contrib import admin

from outbox.admin.protected import ProtectedAdmin
from outbox.models import Quota


@admin.register(Quota)
class QuotaAdmin(ProtectedAdmin):
    """One row for each user with limits of their own."""

    list_display = (
        "user",
        "max_messages_per_hour",
        "max_stored_bytes",
        "max_inbox_bytes",
        "max_drafts",
        "max_accounts",
    )
    list_select_related = ("user",)
    raw_id_fields = ("user",)
