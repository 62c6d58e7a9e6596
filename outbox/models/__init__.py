"""Models, query sets, states and transitions."""

from outbox.models.account import Account, OnUncertain, Route, Security
from outbox.models.alarm import Alarm, AlarmKind, AlarmNotification, Channel, HostCheck, Severity
from outbox.models.attempt import Attempt, Outcome, SmtpSession
from outbox.models.audit import AppendOnlyError, AuditAction, AuditEntry
from outbox.models.bulk_operation import BulkAction, BulkOperation, BulkPage, BulkSkip
from outbox.models.connection_test import ConnectionTest
from outbox.models.contact import Contact
from outbox.models.delivery_count import CountMark, DeliveryCount, DeliveryTotal
from outbox.models.delivery_time import DeliveryTime
from outbox.models.destination import (
    MX_PREFIX,
    SMARTHOST_KEY,
    UNRESOLVED_KEY,
    Circuit,
    Destination,
    DomainSite,
    Slot,
)
from outbox.models.discarded_file import DiscardedFile
from outbox.models.domain_check import DomainCheck
from outbox.models.event import Event, EventKind
from outbox.models.failure_digest import FailureDigest
from outbox.models.inbound import (
    InboundFolder,
    InboundKind,
    InboundMessage,
    InboundReport,
    InboundSource,
    MatchRule,
)
from outbox.models.inbound_search import InboundEntry
from outbox.models.last_run import LastRun
from outbox.models.mailbox import Mailbox, MailProtocol, OnServer, ServerMessage
from outbox.models.message import (
    COPIES,
    Attachment,
    Draft,
    DraftKind,
    Importance,
    Message,
    Origin,
    Source,
    TlsRequirement,
)
from outbox.models.oauth import OAuthAccess, OAuthKind, OAuthProvider, OAuthToken
from outbox.models.pause import Pause, PauseScope
from outbox.models.pending_hold import PendingHold
from outbox.models.preferences import FailureDigestChoice, Preferences, Theme
from outbox.models.queue_snapshot import Operations, QueueSnapshot
from outbox.models.quota import Quota
from outbox.models.recipient import Recipient, Role
from outbox.models.reminder import ReplyReminder
from outbox.models.reply_group import ReplyGroup, ReplyKind
from outbox.models.report_request import Notify, ReportRequest, Ret
from outbox.models.search import SearchEntry, SearchMark
from outbox.models.sent_copy import SentCopy
from outbox.models.sharing import ShareDecision
from outbox.models.signing_key import KeyState, SigningKey
from outbox.models.site_search import SiteEntry
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
from outbox.models.stored_size import StoredSize
from outbox.models.suppression import Suppression, SuppressionReason
from outbox.models.template import Template
from outbox.models.transport_policy import MtaStsPolicy, TlsCount
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
    "MX_PREFIX",
    "OPEN",
    "RETRYABLE",
    "SMARTHOST_KEY",
    "UNRESOLVED_KEY",
    "Account",
    "Alarm",
    "AlarmKind",
    "AlarmNotification",
    "AppendOnlyError",
    "Attachment",
    "Attempt",
    "AuditAction",
    "AuditEntry",
    "BulkAction",
    "BulkOperation",
    "BulkPage",
    "BulkSkip",
    "Channel",
    "Circuit",
    "ConnectionTest",
    "Contact",
    "CountMark",
    "DeliveryCount",
    "DeliveryTime",
    "DeliveryTotal",
    "Destination",
    "DiscardedFile",
    "DomainCheck",
    "DomainSite",
    "Draft",
    "DraftKind",
    "Event",
    "EventKind",
    "FailureDigest",
    "FailureDigestChoice",
    "Folder",
    "HostCheck",
    "Importance",
    "InboundEntry",
    "InboundFolder",
    "InboundKind",
    "InboundMessage",
    "InboundReport",
    "InboundSource",
    "KeyState",
    "LastRun",
    "MailProtocol",
    "Mailbox",
    "MatchRule",
    "Message",
    "MtaStsPolicy",
    "Notify",
    "OAuthAccess",
    "OAuthKind",
    "OAuthProvider",
    "OAuthToken",
    "OnServer",
    "OnUncertain",
    "Operations",
    "Origin",
    "Outcome",
    "Pause",
    "PauseScope",
    "PendingHold",
    "Preferences",
    "QueueSnapshot",
    "Quota",
    "Recipient",
    "ReplyGroup",
    "ReplyKind",
    "ReplyReminder",
    "ReportRequest",
    "Ret",
    "Role",
    "Route",
    "SearchEntry",
    "SearchMark",
    "Security",
    "SentCopy",
    "ServerMessage",
    "Severity",
    "ShareDecision",
    "SigningKey",
    "SiteEntry",
    "Slot",
    "SmtpSession",
    "Source",
    "State",
    "Status",
    "StoredSize",
    "Suppression",
    "SuppressionReason",
    "Template",
    "Theme",
    "TlsCount",
    "TlsRequirement",
    "Webhook",
    "WebhookCall",
    "Worker",
]
