"""The labels of fields whose models define none, for lists, filters and pages.

A `verbose_name` in a model would change the state of its migrations. Migrations compare the name
that was given to the field, and the admin shows `Field.verbose_name`, which is set here.
"""

from collections.abc import Mapping

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from outbox.models import (
    Account,
    AlarmNotification,
    Attempt,
    AuditEntry,
    Destination,
    Mailbox,
    Recipient,
    Template,
    Webhook,
    WebhookCall,
    Worker,
)

LABELS: Mapping[type[Model], Mapping[str, Promise]] = {
    Account: {
        "owner": _("owner"),
        "users": _("users"),
        "groups": _("groups"),
        "created_at": _("created at"),
    },
    AlarmNotification: {
        "channel": _("channel"),
        "notified_at": _("notified at"),
        "clear_notified_at": _("clearing notified at"),
        "failed_at": _("failed at"),
    },
    Attempt: {
        "message": _("message"),
        "worker": _("worker"),
        "started_at": _("started at"),
        "dot_marked_at": _("final dot marked at"),
        "ended_at": _("ended at"),
        "outcome": _("outcome"),
        "phase": _("phase"),
        "fault": _("fault"),
        "signature": _("signature"),
        "late_reply": _("late reply"),
    },
    AuditEntry: {"target_key": _("target key")},
    Destination: {
        "account": _("account"),
        "circuit_opened_at": _("circuit opened at"),
        "circuit_faults": _("consecutive connection faults"),
        "circuit_trips": _("consecutive circuit openings"),
        "probe_worker": _("worker of the probe"),
        "minute_started_at": _("minute started at"),
        "minute_count": _("recipients in this minute"),
        "day_started_at": _("day started at"),
        "day_count": _("recipients on this day"),
    },
    Mailbox: {
        "account": _("account"),
        "next_fetch_at": _("next fetch"),
        "fetched_at": _("last fetch"),
        "failures": _("failures in a row"),
    },
    Recipient: {
        "message": _("message"),
        "role": _("role"),
        "name": _("name"),
        "address": _("address"),
        "destination": _("destination"),
        "attempt": _("last attempt"),
        "priority": _("priority"),
        "state": _("state"),
        "attempts": _("attempts"),
        "reply_command": _("command of the reply"),
        "remote_host": _("remote server"),
        "remote_queue_id": _("remote queue id"),
        "first_attempt_at": _("first attempt at"),
        "last_attempt_at": _("last attempt at"),
        "next_attempt_at": _("next attempt"),
        "resend_at": _("resent at"),
        "expires_at": _("expires at"),
        "final_at": _("final state since"),
    },
    Template: {
        "owner": _("owner"),
        "created_at": _("created at"),
        "updated_at": _("updated at"),
    },
    Webhook: {"created_at": _("created at")},
    WebhookCall: {
        "webhook": _("webhook"),
        "attempts": _("attempts"),
        "created_at": _("created at"),
        "next_attempt_at": _("next attempt"),
        "taken_at": _("accepted at"),
    },
    Worker: {
        "host": _("host"),
        "pid": _("process id"),
        "version": _("version"),
        "started_at": _("started at"),
        "heartbeat_at": _("last heartbeat"),
        "lease_until": _("lease until"),
        "drain_requested_at": _("drain requested at"),
        "ended_at": _("ended at"),
        "swept_at": _("claims recovered at"),
    },
}


def set_labels() -> None:
    """Set the label of each field."""
    for model, labels in LABELS.items():
        for name, label in labels.items():
            model._meta.get_field(name).verbose_name = label  # type: ignore[union-attr]
