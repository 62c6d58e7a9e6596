"""The actions on messages: their names, labels, questions, conditions, permissions and API calls.

The list page, the message page, the page for many messages and the admin all render this mapping.
An action on recipients applies while one of them is in one of its states. Other actions apply to
the message as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from outbox.api import actions, scheduling
from outbox.api.drafts import discard_draft
from outbox.api.undo import take_back
from outbox.exceptions import AccountNotUsableError, NotADraftError
from outbox.models import (
    CANCELLABLE,
    DUE,
    FAILURES,
    RETRYABLE,
    BulkAction,
    Folder,
    Message,
    Recipient,
    State,
    Status,
)
from outbox.models.access import can_change, is_owner
from outbox.models.message import MessageQuerySet
from outbox.models.senders import why_not_shown
from outbox.reasons import NO_REASON, Reason

User = AbstractBaseUser | AnonymousUser
Text = str | Promise


_CANCEL = gettext_lazy("Cancel")


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The number of recipients (or drafts) that changed, and of those that were too late."""

    changed: int
    too_late: int = 0
    error: AccountNotUsableError | None = None  # why nothing was done


class Permission(Enum):
    """The users who may perform an action."""

    OWNER = "owner"
    CHANGE = "change"  # the owner, and staff who may change messages

    def allows(self, user: User, message: Message) -> bool:
        """Return whether the user may perform the action on the message."""
        return is_owner(user, message) if self is Permission.OWNER else can_change(user, message)

    def messages(self, user: User) -> MessageQuerySet:
        """Return the messages on which the user may perform the action."""
        messages = Message.objects.all()
        if self is Permission.OWNER:
            return messages.visible_to(user)
        return messages.changeable_by(user)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageAction:
    """One action: how it is shown, when and to which users it is offered, and what it calls."""

    name: str  # also in addresses
    label: Text
    icon: str
    call: Callable[..., Any]
    permission: Permission = Permission.CHANGE
    is_primary: bool = False  # the message waits for this action
    is_destructive: bool = False

    question: Text = ""  # empty: performed without a question
    effect: Text = ""  # what the action does, below the question
    by_name: Text = ""  # shown if recipients in `states_by_name` can be selected beside others
    if_uncertain: Text = ""  # shown if an uncertain recipient can be selected
    hint: Text = ""  # when to choose the action, below the buttons of the message page
    keep: Text = _CANCEL  # the button that closes the question
    done: Text = ""  # reported afterwards, with a count

    states: tuple[State, ...] = ()  # of the recipients that the action changes
    states_by_name: tuple[State, ...] = ()  # changed only if the recipients are named
    names_recipients: bool = False  # on the message page, the user selects recipients
    is_for_many_only: bool = False  # on the message page, another action covers it
    sends: bool = False  # impossible if the author may not send with the account any more
    needs_content: bool = False  # impossible once the content was erased or removed
    is_possible: Callable[[Message], bool] = lambda message: True
    folders: tuple[Folder, ...] = ()  # whose lists offer the action for many messages

    @property
    def address(self) -> str:
        """Return the name of its address on the message page."""
        return f"outbox:{self.name}"

    def applies_to(self, message: Message, states: Iterable[str]) -> bool:
        """Return whether the action can change the message, given its recipients' states."""
        if not self.is_possible(message):
            return False
        possible: Container[str] = (*self.states, *self.states_by_name)
        return not self.states or any(state in possible for state in states)

    @property
    def impossible(self) -> str:
        """Return which messages the action applies to, for a selection that has none."""
        if not self.states:
            text = _("“%(action)s” applies to drafts only. No draft is selected.")
            return text % {"action": self.label}
        text = _("“%(action)s” applies to recipients in these states: %(states)s. There are none.")
        separator = pgettext("between entries", ", ")
        states = separator.join(str(state.label) for state in self.states)
        return text % {"action": self.label, "states": states}

    def obstacle(self, message: Message) -> Reason:
        """Return why an action that applies is impossible all the same; NO_REASON if it is not."""
        if self.needs_content and (loss := message.content_loss):
            return loss
        return why_not_shown(message) if self.sends else NO_REASON

    def among(self, recipients: Iterable[Recipient]) -> list[Recipient]:
        """Return the recipients that the action can change."""
        possible = (*self.states, *self.states_by_name)
        return [recipient for recipient in recipients if recipient.state in possible]

    def report(self, count: str) -> str:
        """Return the sentence after the action, with a count such as "3 recipients"."""
        return _("%(done)s: %(count)s.") % {"done": self.done, "count": count}


def offered_actions(user: User, message: Message, states: Collection[str]) -> list[MessageAction]:
    """Return the actions that the user may perform on the message, given its recipients' states."""
    return [
        action
        for action in MESSAGE_ACTIONS.values()
        if not action.is_for_many_only
        and action.permission.allows(user, message)
        and action.applies_to(message, states)
        # While Undo is offered, it is what the owner needs instead of Cancel.
        and not (action.name == "cancel" and _can_undo(message) and is_owner(user, message))
    ]


def _can_undo(message: Message) -> bool:
    return message.waits_for_undo


def _is_scheduled(message: Message) -> bool:
    return message.status == Status.SCHEDULED and not message.waits_for_undo


def _can_edit(message: Message) -> bool:
    return _is_scheduled(message) and hasattr(message, "draft")


def _is_queued(message: Message) -> bool:
    return not message.is_draft


def _cancel(message: Message, **options: Any) -> ActionResult:
    result = actions.cancel(message, **options)
    return ActionResult(result.stopped, result.too_late)


def _counted(call: Callable[..., int]) -> Callable[..., ActionResult]:
    def perform(message: Message, **options: Any) -> ActionResult:
        try:
            return ActionResult(call(message, **options))
        except AccountNotUsableError as error:
            return ActionResult(0, error=error)

    return perform


def _discard(message: Message, **_options: Any) -> ActionResult:
    try:
        discard_draft(message)
    except NotADraftError:
        return ActionResult(0)
    return ActionResult(1)


# In the order in which a page shows them.
_ACTIONS = (
    MessageAction(
        name=BulkAction.MARK_SENT,
        label=BulkAction.MARK_SENT.label,
        icon="check",
        question=gettext_lazy("Mark as sent?"),
        effect=gettext_lazy(
            "The server's reply was lost. Mark recipients as sent if you know that the message"
            " arrived. Delivery to them is not retried."
        ),
        hint=gettext_lazy("Mark as sent if you know that the message arrived."),
        done=gettext_lazy("Marked as sent"),
        states=(State.UNCERTAIN,),
        names_recipients=True,
        is_primary=True,
        is_possible=_is_queued,
        call=_counted(actions.resolve_as_sent),
    ),
    MessageAction(
        name=BulkAction.RETRY_UNCERTAIN,
        sends=True,
        label=BulkAction.RETRY_UNCERTAIN.label,
        icon="retry",
        question=gettext_lazy("Retry uncertain recipients?"),
        effect=gettext_lazy(
            "The server's reply was lost. If the message has already arrived, a retry delivers a"
            " second copy."
        ),
        done=gettext_lazy("Queued again"),
        states=(State.UNCERTAIN,),
        is_for_many_only=True,
        needs_content=True,
        is_possible=_is_queued,
        call=_counted(actions.resolve_as_unsent),
    ),
    MessageAction(
        name=BulkAction.RELEASE,
        sends=True,
        label=BulkAction.RELEASE.label,
        icon="arrow",
        question=gettext_lazy("Release delivery?"),
        effect=gettext_lazy(
            "Held recipients return to the queue. A scheduled message is still sent at its time."
        ),
        done=gettext_lazy("Delivery released"),
        states=(State.HELD,),
        is_primary=True,
        is_possible=_is_queued,
        folders=(Folder.OUTBOX,),
        call=_counted(actions.release),
    ),
    MessageAction(
        name=BulkAction.RETRY,
        sends=True,
        label=BulkAction.RETRY.label,
        icon="retry",
        question=gettext_lazy("Retry delivery?"),
        effect=gettext_lazy("Delivery is retried. The content is not changed."),
        by_name=gettext_lazy(
            "Cancelled and uncertain recipients are included only if you select them."
        ),
        if_uncertain=gettext_lazy(
            "If the message has already arrived at an uncertain recipient, a retry delivers a"
            " second copy."
        ),
        hint=gettext_lazy(
            "Retry delivery sends the same message again, to the recipients that you choose."
        ),
        done=gettext_lazy("Queued again"),
        states=(*RETRYABLE, State.DEFERRED),
        states_by_name=(State.CANCELLED, State.UNCERTAIN),
        names_recipients=True,
        is_primary=True,
        needs_content=True,
        is_possible=_is_queued,
        folders=(Folder.OUTBOX, Folder.FAILED),
        call=_counted(actions.retry),
    ),
    MessageAction(
        name=BulkAction.RETRY_FAILED,
        sends=True,
        label=BulkAction.RETRY_FAILED.label,
        icon="retry",
        question=gettext_lazy("Retry failed recipients?"),
        effect=gettext_lazy(
            "Delivery is retried for failed recipients. Recipients that are waiting for another"
            " attempt keep their time."
        ),
        done=gettext_lazy("Queued again"),
        states=RETRYABLE,
        is_for_many_only=True,
        needs_content=True,
        is_possible=_is_queued,
        call=_counted(actions.retry_failed),
    ),
    MessageAction(
        name="send-now",
        sends=True,
        label=gettext_lazy("Send now"),
        icon="sent",
        permission=Permission.OWNER,
        is_primary=True,
        is_possible=_is_scheduled,
        call=scheduling.send_now,
    ),
    MessageAction(
        name="change-time",
        sends=True,
        label=gettext_lazy("Change time"),
        icon="clock",
        question=gettext_lazy("Change time"),
        permission=Permission.OWNER,
        is_possible=_is_scheduled,
        call=scheduling.reschedule,
    ),
    MessageAction(
        name="edit",
        label=pgettext_lazy("a scheduled message", "Edit"),
        icon="compose",
        effect=gettext_lazy("Returns the message to your drafts"),
        permission=Permission.OWNER,
        is_possible=_can_edit,
        call=scheduling.return_to_drafts,
    ),
    MessageAction(
        name=BulkAction.HOLD,
        label=BulkAction.HOLD.label,
        icon="pause",
        question=gettext_lazy("Hold delivery?"),
        effect=gettext_lazy(
            "Waiting recipients are held until you release them. Deliveries already in progress"
            " will complete."
        ),
        done=gettext_lazy("Delivery held"),
        states=DUE,
        is_possible=lambda message: _is_queued(message) and not message.waits_for_undo,
        folders=(Folder.OUTBOX, Folder.SCHEDULED),
        call=_counted(actions.hold),
    ),
    MessageAction(
        name="undo",
        label=gettext_lazy("Undo"),
        icon="undo",
        permission=Permission.OWNER,
        is_primary=True,
        is_possible=_can_undo,
        call=take_back,
    ),
    MessageAction(
        name=BulkAction.CANCEL,
        label=BulkAction.CANCEL.label,
        icon="ban",
        question=gettext_lazy("Cancel delivery?"),
        effect=gettext_lazy(
            "Nothing is sent to recipients that are still waiting. It may be too late for"
            " deliveries already in progress."
        ),
        keep=gettext_lazy("Do not cancel"),
        done=gettext_lazy("Delivery cancelled"),
        states=(*CANCELLABLE, State.SENDING),
        is_destructive=True,
        is_possible=_is_queued,
        folders=(Folder.OUTBOX, Folder.SCHEDULED),
        call=_cancel,
    ),
    MessageAction(
        name="discard",
        label=gettext_lazy("Discard drafts"),
        icon="close",
        question=gettext_lazy("Discard drafts?"),
        effect=gettext_lazy("Drafts and their attachments are deleted permanently."),
        done=gettext_lazy("Discarded"),
        permission=Permission.OWNER,
        is_destructive=True,
        is_possible=lambda message: message.is_draft,
        folders=(Folder.DRAFTS,),
        call=_discard,
    ),
)
MESSAGE_ACTIONS = {action.name: action for action in _ACTIONS}
# Actions that change recipients, of one message or of many. Their calls return an ActionResult.
RECIPIENT_ACTIONS = {name: action for name, action in MESSAGE_ACTIONS.items() if action.states}
BULK_ACTIONS = {**RECIPIENT_ACTIONS, "discard": MESSAGE_ACTIONS["discard"]}
# Only operators suppress the addresses of many messages at once, and it changes no recipient.
_SUPPRESS = MessageAction(
    name=BulkAction.SUPPRESS,
    label=BulkAction.SUPPRESS.label,
    icon="ban",
    question=gettext_lazy("Suppress addresses?"),
    effect=gettext_lazy(
        "Failed addresses are added to the suppression list of the account, if the failure is about"
        " the recipient. Messages to them are held from then on."
    ),
    done=gettext_lazy("Suppressed"),
    states=FAILURES,
    is_destructive=True,
    is_possible=_is_queued,
    call=lambda _message, **_options: ActionResult(0),
)
OPERATION_ACTIONS = {**RECIPIENT_ACTIONS, _SUPPRESS.name: _SUPPRESS}
