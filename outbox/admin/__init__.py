"""The admin: staff view everything, and change messages only through `outbox.api`.

Accounts, templates, webhooks and DKIM keys are settings, so staff edit them here. No list counts a
table or loads a body.
"""

from outbox.admin.accounts import AccountAdmin
from outbox.admin.alarms import AlarmAdmin
from outbox.admin.attempts import AttemptAdmin
from outbox.admin.audit import AuditEntryAdmin
from outbox.admin.bulk_operations import BulkOperationAdmin
from outbox.admin.delivery import DestinationAdmin, WorkerAdmin
from outbox.admin.mailboxes import MailboxAdmin
from outbox.admin.messages import MessageAdmin
from outbox.admin.oauth import OAuthProviderAdmin
from outbox.admin.operations.admin import OperationsAdmin
from outbox.admin.quotas import QuotaAdmin
from outbox.admin.received import InboundMessageAdmin
from outbox.admin.recipients import RecipientAdmin
from outbox.admin.signing_keys import SigningKeyAdmin
from outbox.admin.suppressions import SuppressionAdmin
from outbox.admin.templates import TemplateAdmin
from outbox.admin.webhooks import WebhookAdmin, WebhookCallAdmin

__all__ = [
    "AccountAdmin",
    "AlarmAdmin",
    "AttemptAdmin",
    "AuditEntryAdmin",
    "BulkOperationAdmin",
    "DestinationAdmin",
    "InboundMessageAdmin",
    "MailboxAdmin",
    "MessageAdmin",
    "OAuthProviderAdmin",
    "OperationsAdmin",
    "QuotaAdmin",
    "RecipientAdmin",
    "SigningKeyAdmin",
    "SuppressionAdmin",
    "TemplateAdmin",
    "WebhookAdmin",
    "WebhookCallAdmin",
    "WorkerAdmin",
]
