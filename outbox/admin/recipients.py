"""Recipients of all messages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from outbox.admin import formatting
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.admin.reasons import ReasonDisplay
from outbox.models import Recipient
from outbox.web.display import COMMANDS


@admin.register(Recipient)
class RecipientAdmin(ReasonDisplay, ReadOnlyAdmin):
    """Recipients, searched by the beginning of an address, for which there is an index."""

    account_path = "message__account"
    list_display = ("address", "message", "state", "last_reply", "attempts", "next_attempt_at")
    list_filter = ("state", "role")
    list_select_related = ("message",)
    search_fields = ("address",)  # see get_search_results
    search_help_text = _("The beginning of an address")
    ordering = ("-pk",)
    readonly_fields = ("reason_text", "last_reply", "command")
    fieldsets = (
        (None, {"fields": ("message", "role", "name", "address", "destination", "priority")}),
        (_("State"), {"fields": ("state", "reason_text", "final_at", "expires_at", "resend_at")}),
        (
            _("Attempts"),
            {
                "fields": (
                    "attempts",
                    "attempt",
                    "first_attempt_at",
                    "last_attempt_at",
                    "next_attempt_at",
                )
            },
        ),
        (
            _("Server reply"),
            {"fields": ("last_reply", "command", "remote_host", "remote_queue_id")},
        ),
    )
    raw_id_fields = ("message", "destination", "attempt")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Recipient], search_term: str
    ) -> tuple[QuerySet[Recipient], bool]:
        """Search the beginning of an address by its index, in any case."""
        begins = Recipient.objects.with_address_beginning(search_term.strip())
        return (queryset & begins if search_term.strip() else queryset), False

    @admin.display(description=_("last reply"))
    def last_reply(self, recipient: Recipient) -> str:
        return formatting.reply(recipient)

    @admin.display(description=Recipient._meta.get_field("reply_command").verbose_name)
    def command(self, recipient: Recipient) -> str:
        command = recipient.reply_command
        return str(COMMANDS.get(command, command)) or formatting.EMPTY
