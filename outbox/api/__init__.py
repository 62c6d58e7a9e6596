"""The public API: everything that views, the admin, commands, the email backend and apps call.

    from outbox import api

    handle = api.send(to="ann@example.com", subject="Hello", text="Hello, Ann.")
    handle.status()

- Sending: `send`, `send_many` (with `MergeRow`, giving a `BulkResult`), `queue_ids` and
  `queue_sources` (with `Outgoing`), `compile_template`. Their options are `SendOptions`.
- Actions on queued messages: `cancel`, `retry`, `hold`, `release`, `resolve_uncertain`,
  `reschedule`, `send_now`, `return_to_drafts`.
- Operators: `pause`, `resume`, `pauses`, and for one worker `drain`, `end_drain`.
- State: `Handle`, `explain`, `status`, `live_engines`, and for operators the module `operations`.
- The suppression list: `suppress`, `unsuppress`, `suppressed`.
- DKIM keys: `generate_signing_key`, `activate_signing_key`, `retire_signing_key`,
  `remove_signing_key`, `list_signing_keys`. The DNS of a sender's domain: `check_domain`.
- Drafts: `save_draft`, `send_draft`, `attach`, `detach`, `discard_draft`, `reply_to_message`.

Functions that query the database have an async variant, such as `asend`.
"""

# ruff: isort: skip_file
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outbox.api.accounts import (
        account_named as account_named,
        close_circuit as close_circuit,
        default_account as default_account,
    )
    from outbox.api.actions import (
        CancelResult as CancelResult,
        acancel as acancel,
        ahold as ahold,
        arelease as arelease,
        aresolve_uncertain as aresolve_uncertain,
        aretry as aretry,
        cancel as cancel,
        hold as hold,
        release as release,
        resolve_as_sent as resolve_as_sent,
        resolve_as_unsent as resolve_as_unsent,
        resolve_uncertain as resolve_uncertain,
        retry as retry,
    )
    from outbox.api.bulk import (
        BulkResult as BulkResult,
        Progress as Progress,
        Refused as Refused,
        asend_many as asend_many,
        send_many as send_many,
    )
    from outbox.api.drafts import (
        DraftFields as DraftFields,
        attach as attach,
        begun_on as begun_on,
        detach as detach,
        discard_draft as discard_draft,
        save_draft as save_draft,
        send_draft as send_draft,
    )
    from outbox.api.explanations import (
        Explanation as Explanation,
        explain as explain,
    )
    from outbox.api.handle import (
        Handle as Handle,
        RecipientStatus as RecipientStatus,
    )
    from outbox.api.merge_rows import (
        MergeRow as MergeRow,
    )
    from outbox.api.options import (
        Priority as Priority,
        SendOptions as SendOptions,
    )
    from outbox.api.outgoing import (
        Outgoing as Outgoing,
        OutgoingRecipient as OutgoingRecipient,
    )
    from outbox.api.pausing import (
        drain as drain,
        end_drain as end_drain,
        pause as pause,
        pauses as pauses,
        resume as resume,
    )
    from outbox.api.queueing import (
        queue_ids as queue_ids,
        queue_sources as queue_sources,
    )
    from outbox.api.replies import (
        PreparedReply as PreparedReply,
        files_of as files_of,
        link_reply as link_reply,
        prepare_reply as prepare_reply,
        reply_to_message as reply_to_message,
    )
    from outbox.api.scheduling import (
        areschedule as areschedule,
        areturn_to_drafts as areturn_to_drafts,
        asend_now as asend_now,
        reschedule as reschedule,
        return_to_drafts as return_to_drafts,
        send_now as send_now,
    )
    from outbox.api.sender_domain import (
        DomainReport as DomainReport,
        check_domain as check_domain,
    )
    from outbox.api.sending import (
        asend as asend,
        send as send,
    )
    from outbox.api.signing_keys import (
        SigningKeyError as SigningKeyError,
        activate_signing_key as activate_signing_key,
        generate_signing_key as generate_signing_key,
        list_signing_keys as list_signing_keys,
        remove_signing_key as remove_signing_key,
        retire_signing_key as retire_signing_key,
    )
    from outbox.api.status_report import (
        BlockedDestination as BlockedDestination,
        HoldInProgress as HoldInProgress,
        PauseInForce as PauseInForce,
        StatusReport as StatusReport,
        WorkerSeen as WorkerSeen,
        live_engines as live_engines,
        status as status,
    )
    from outbox.api.suppressions import (
        asuppress as asuppress,
        asuppressed as asuppressed,
        aunsuppress as aunsuppress,
        suppress as suppress,
        suppressed as suppressed,
        unsuppress as unsuppress,
    )
    from outbox.api.templates import (
        CompiledTemplate as CompiledTemplate,
        Wording as Wording,
        compile_template as compile_template,
    )
    from outbox.api.undo import (
        take_back as take_back,
    )
    from outbox.api.webhooks import (
        call_again as call_again,
    )
    from outbox.delivery.probe import (
        ProbeReport as ProbeReport,
        ProbeStep as ProbeStep,
        probe as probe,
    )
    from outbox.mail.mime_writer import (
        AttachmentPart as AttachmentPart,
    )
    from outbox.models import (
        DraftKind as DraftKind,
        Template as Template,
    )

# Where each public name is defined. A module is imported when one of its names is first used, so
# that a command or a web process loads only the part of the API that it calls.
_HOMES = {
    "AttachmentPart": "outbox.mail.mime_writer",
    "BlockedDestination": "outbox.api.status_report",
    "BulkResult": "outbox.api.bulk",
    "CancelResult": "outbox.api.actions",
    "CompiledTemplate": "outbox.api.templates",
    "DomainReport": "outbox.api.sender_domain",
    "DraftFields": "outbox.api.drafts",
    "DraftKind": "outbox.models",
    "Explanation": "outbox.api.explanations",
    "Handle": "outbox.api.handle",
    "HoldInProgress": "outbox.api.status_report",
    "MergeRow": "outbox.api.merge_rows",
    "Outgoing": "outbox.api.outgoing",
    "OutgoingRecipient": "outbox.api.outgoing",
    "PauseInForce": "outbox.api.status_report",
    "PreparedReply": "outbox.api.replies",
    "Priority": "outbox.api.options",
    "ProbeReport": "outbox.delivery.probe",
    "ProbeStep": "outbox.delivery.probe",
    "Progress": "outbox.api.bulk",
    "RecipientStatus": "outbox.api.handle",
    "Refused": "outbox.api.bulk",
    "SendOptions": "outbox.api.options",
    "SigningKeyError": "outbox.api.signing_keys",
    "StatusReport": "outbox.api.status_report",
    "Template": "outbox.models",
    "Wording": "outbox.api.templates",
    "WorkerSeen": "outbox.api.status_report",
    "acancel": "outbox.api.actions",
    "account_named": "outbox.api.accounts",
    "activate_signing_key": "outbox.api.signing_keys",
    "ahold": "outbox.api.actions",
    "arelease": "outbox.api.actions",
    "areschedule": "outbox.api.scheduling",
    "aresolve_uncertain": "outbox.api.actions",
    "aretry": "outbox.api.actions",
    "areturn_to_drafts": "outbox.api.scheduling",
    "asend": "outbox.api.sending",
    "asend_many": "outbox.api.bulk",
    "asend_now": "outbox.api.scheduling",
    "asuppress": "outbox.api.suppressions",
    "asuppressed": "outbox.api.suppressions",
    "attach": "outbox.api.drafts",
    "aunsuppress": "outbox.api.suppressions",
    "begun_on": "outbox.api.drafts",
    "call_again": "outbox.api.webhooks",
    "cancel": "outbox.api.actions",
    "check_domain": "outbox.api.sender_domain",
    "close_circuit": "outbox.api.accounts",
    "compile_template": "outbox.api.templates",
    "default_account": "outbox.api.accounts",
    "detach": "outbox.api.drafts",
    "discard_draft": "outbox.api.drafts",
    "drain": "outbox.api.pausing",
    "end_drain": "outbox.api.pausing",
    "explain": "outbox.api.explanations",
    "files_of": "outbox.api.replies",
    "generate_signing_key": "outbox.api.signing_keys",
    "hold": "outbox.api.actions",
    "link_reply": "outbox.api.replies",
    "list_signing_keys": "outbox.api.signing_keys",
    "live_engines": "outbox.api.status_report",
    "pause": "outbox.api.pausing",
    "pauses": "outbox.api.pausing",
    "prepare_reply": "outbox.api.replies",
    "probe": "outbox.delivery.probe",
    "queue_ids": "outbox.api.queueing",
    "queue_sources": "outbox.api.queueing",
    "release": "outbox.api.actions",
    "remove_signing_key": "outbox.api.signing_keys",
    "reply_to_message": "outbox.api.replies",
    "reschedule": "outbox.api.scheduling",
    "resolve_as_sent": "outbox.api.actions",
    "resolve_as_unsent": "outbox.api.actions",
    "resolve_uncertain": "outbox.api.actions",
    "resume": "outbox.api.pausing",
    "retire_signing_key": "outbox.api.signing_keys",
    "retry": "outbox.api.actions",
    "return_to_drafts": "outbox.api.scheduling",
    "save_draft": "outbox.api.drafts",
    "send": "outbox.api.sending",
    "send_draft": "outbox.api.drafts",
    "send_many": "outbox.api.bulk",
    "send_now": "outbox.api.scheduling",
    "status": "outbox.api.status_report",
    "suppress": "outbox.api.suppressions",
    "suppressed": "outbox.api.suppressions",
    "take_back": "outbox.api.undo",
    "unsuppress": "outbox.api.suppressions",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
