"""The admin: staff see everything here and change nothing but through `outbox.api`.

Accounts, templates and webhooks are the exception, since they are settings. No list counts a table
or loads a body.
"""

from outbox.admin.accounts import AccountAdmin
from outbox.admin.attempts import AttemptAdmin
from outbox.admin.bulk_operations import BulkOperationAdmin
from outbox.admin.messages import MessageAdmin
from outbox.admin.recipients import RecipientAdmin
from outbox.admin.routes import DestinationAdmin, WorkerAdmin
from outbox.admin.templates import TemplateAdmin
from outbox.admin.webhooks import WebhookAdmin, WebhookCallAdmin

__all__ = [
    "AccountAdmin",
    "AttemptAdmin",
    "BulkOperationAdmin",
    "DestinationAdmin",
    "MessageAdmin",
    "RecipientAdmin",
    "TemplateAdmin",
    "WebhookAdmin",
    "WebhookCallAdmin",
    "WorkerAdmin",
]
