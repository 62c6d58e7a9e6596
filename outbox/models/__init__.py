"""The rows. Models own state and queries; the sequence of a delivery is `delivery`'s."""

from outbox.models.account import Account, OnUncertain, Route, Security
from outbox.models.attempt import Attempt, Outcome, Session
from outbox.models.bulk_operation import BulkAction, BulkOperation
from outbox.models.contact import Contact
from outbox.models.destination import SMARTHOST_KEY, Circuit, Destination, Slot
from outbox.models.event import Event, EventKind
from outbox.models.failure_digest import FailureDigest
from outbox.models.message import COPIES, Answer, Attachment, Draft, Message, Origin, Source
from outbox.models.preferences import FailureDigestChoice, Preferences, Theme
from outbox.models.recipient import Recipient, Role
from outbox.models.search import SearchEntry, SearchMark
from outbox.models.states import (
    CANCELLABLE,
    CHANGES,
    DUE,
    FAILURES,
    FINAL,
    FOLDER_OF,
    OPEN,
    RETRYABLE,
    Folder,
    State,
    Status,
)
from outbox.models.template import Template
from outbox.models.webhook import Webhook, WebhookCall
from outbox.models.worker import Worker

__all__ = [
    "CANCELLABLE",
    "CHANGES",
    "COPIES",
    "DUE",
    "FAILURES",
    "FINAL",
    "FOLDER_OF",
    "OPEN",
    "RETRYABLE",
    "SMARTHOST_KEY",
    "Account",
    "Answer",
    "Attachment",
    "Attempt",
    "BulkAction",
    "BulkOperation",
    "Circuit",
    "Contact",
    "Destination",
    "Draft",
    "Event",
    "EventKind",
    "FailureDigest",
    "FailureDigestChoice",
    "Folder",
    "Message",
    "OnUncertain",
    "Origin",
    "Outcome",
    "Preferences",
    "Recipient",
    "Role",
    "Route",
    "SearchEntry",
    "SearchMark",
    "Security",
    "Session",
    "Slot",
    "Source",
    "State",
    "Status",
    "Template",
    "Theme",
    "Webhook",
    "WebhookCall",
    "Worker",
]
