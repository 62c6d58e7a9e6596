"""What a person may do to a mail that is under way: cancel, retry, settle, hold, release.

Asked first, with what it will concern; answered afterwards with what it did, which may be less:
workers go on meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from outbox import api
from outbox.models import Message, Recipient
from outbox.web.messages.access import get_changeable
from outbox.web.messages.forms import ActForm, WhyForm
from outbox.web.messages.page import MessagePage
from outbox.web.person import PersonRequest, signed_in


@dataclass(frozen=True, slots=True)
class Question:
    """How an act is asked about before it is done."""

    act: str  # name of its address
    title: str | Promise
    text: str
    buttons: tuple[tuple[str, str | Promise, str], ...]  # value, label, CSS class
    back: str | Promise  # how to leave it alone

    @property
    def address(self) -> str:
        """Name where it is decided."""
        return f"outbox:{self.act}"


@signed_in
@require_http_methods(["GET", "POST"])
def cancel(request: PersonRequest, pk: int) -> HttpResponse:
    """Stop every recipient whose mail has not left."""
    message = get_changeable(request, pk)
    form = WhyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        result = api.cancel(message, actor=request.user, why=form.cleaned_data["why"])
        _tell_cancelled(request, result)
        return redirect("outbox:message", pk)
    return _ask(request, message, form, _cancel_question(MessagePage(message)))


def _tell_cancelled(request: PersonRequest, result: api.CancelResult) -> None:
    if result.stopped:
        text = ngettext(
            "Cancelled for %(count)d recipient.",
            "Cancelled for %(count)d recipients.",
            result.stopped,
        )
        messages.success(request, text % {"count": result.stopped})
    if result.too_late:
        text = ngettext(
            "Too late for %(count)d recipient: the message was already being sent.",
            "Too late for %(count)d recipients: the message was already being sent.",
            result.too_late,
        )
        messages.warning(request, text % {"count": result.too_late})
    if not result.stopped and not result.too_late:
        messages.warning(request, _("No delivery was pending, so nothing was cancelled."))


def _cancel_question(page: MessagePage) -> Question:
    count = len(page.cancellable)
    text = ngettext(
        "Delivery to %(count)d recipient will be cancelled. If it is being sent right now, it may"
        " be too late. We will tell you.",
        "Delivery to %(count)d recipients will be cancelled. If it is being sent right now, it may"
        " be too late. We will tell you.",
        count,
    )
    if page.is_scheduled:
        text += " " + _("It moves to Cancelled. To change the message instead, choose Edit.")
    return Question(
        act="cancel",
        title=gettext_lazy("Cancel this message?"),
        text=text % {"count": count},
        buttons=(("cancel", gettext_lazy("Cancel delivery"), "danger"),),
        back=gettext_lazy("Don't cancel"),
    )


@signed_in
@require_http_methods(["GET", "POST"])
def retry(request: PersonRequest, pk: int) -> HttpResponse:
    """Queue failed recipients again, or have waiting ones tried now."""
    question = Question(
        act="retry",
        title=gettext_lazy("Retry delivery?"),
        text=_("The same message is sent again to the recipients you select."),
        buttons=(("retry", gettext_lazy("Retry delivery"), "primary"),),
        back=gettext_lazy("Back"),
    )
    return _decide(request, pk, lambda page: page.retryable, question, _retry)


def _retry(request: PersonRequest, message: Message, form: ActForm) -> None:
    changed = api.retry(message, actor=request.user, **form.cleaned_data)
    _tell(
        request,
        changed,
        ngettext(
            "Queued again for %(count)d recipient.",
            "Queued again for %(count)d recipients.",
            changed,
        ),
    )


@signed_in
@require_http_methods(["GET", "POST"])
def settle(request: PersonRequest, pk: int) -> HttpResponse:
    """Let a person who knows say whether an uncertain recipient got the mail."""
    question = Question(
        act="settle",
        title=gettext_lazy("Was it delivered?"),
        text=_(
            "The whole message was sent, but the server's reply was lost. If you know that it"
            " arrived, mark it as delivered. If it is sent again, a recipient may get it twice."
        ),
        buttons=(
            ("sent", gettext_lazy("Mark as delivered"), "primary"),
            ("unsent", gettext_lazy("Send again"), ""),
        ),
        back=gettext_lazy("Not sure yet"),
    )
    return _decide(request, pk, lambda page: page.uncertain, question, _settle)


def _settle(request: PersonRequest, message: Message, form: ActForm) -> None:
    match request.POST.get("do"):
        case "sent":
            settled = api.settle_as_sent(message, actor=request.user, **form.cleaned_data)
            text = ngettext(
                "Marked as delivered for %(count)d recipient.",
                "Marked as delivered for %(count)d recipients.",
                settled,
            )
        case "unsent":
            settled = api.settle_as_unsent(message, actor=request.user, **form.cleaned_data)
            text = ngettext(
                "Will be sent again to %(count)d recipient.",
                "Will be sent again to %(count)d recipients.",
                settled,
            )
        case _:  # no button of ours says so, and guessing could send a second copy
            raise BadRequest
    _tell(request, settled, text)


@signed_in
@require_http_methods(["GET", "POST"])
def hold(request: PersonRequest, pk: int) -> HttpResponse:
    """Keep back what waits, until it is released."""
    return _decide_for_all(request, pk, api.hold, _tell_held, _hold_question)


def _tell_held(held: int) -> str:
    return ngettext("Held for %(count)d recipient.", "Held for %(count)d recipients.", held)


def _hold_question(page: MessagePage) -> Question:
    count = len(page.holdable)
    text = ngettext(
        "Delivery to %(count)d waiting recipient is held until you release it. Deliveries already"
        " in progress will complete.",
        "Delivery to %(count)d waiting recipients is held until you release it. Deliveries already"
        " in progress will complete.",
        count,
    )
    return Question(
        act="hold",
        title=gettext_lazy("Hold this message?"),
        text=text % {"count": count},
        buttons=(("hold", gettext_lazy("Hold"), "primary"),),
        back=gettext_lazy("Don't hold"),
    )


@signed_in
@require_http_methods(["GET", "POST"])
def release(request: PersonRequest, pk: int) -> HttpResponse:
    """Let held mail go."""
    return _decide_for_all(request, pk, api.release, _tell_released, _release_question)


def _tell_released(released: int) -> str:
    return ngettext(
        "Released for %(count)d recipient.", "Released for %(count)d recipients.", released
    )


def _release_question(page: MessagePage) -> Question:
    count = len(page.held)
    text = ngettext(
        "The message returns to the queue for %(count)d held recipient.",
        "The message returns to the queue for %(count)d held recipients.",
        count,
    )
    return Question(
        act="release",
        title=gettext_lazy("Release this message?"),
        text=text % {"count": count},
        buttons=(("release", gettext_lazy("Release"), "primary"),),
        back=gettext_lazy("Back"),
    )


def _decide_for_all(
    request: PersonRequest,
    pk: int,
    act: Callable[..., int],
    told: Callable[[int], str],
    question: Callable[[MessagePage], Question],
) -> HttpResponse:
    """Ask why, then act on every recipient it concerns."""
    message = get_changeable(request, pk)
    form = WhyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        changed = act(message, actor=request.user, why=form.cleaned_data["why"])
        _tell(request, changed, told(changed))
        return redirect("outbox:message", pk)
    return _ask(request, message, form, question(MessagePage(message)))


def _decide(
    request: PersonRequest,
    pk: int,
    offer: Callable[[MessagePage], list[Recipient]],
    question: Question,
    act: Callable[[PersonRequest, Message, ActForm], None],
) -> HttpResponse:
    """Ask for whom, then act on the chosen recipients."""
    message = get_changeable(request, pk)
    offered = offer(MessagePage(message))
    form = ActForm(message, offered, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        act(request, message, form)
        return redirect("outbox:message", pk)
    return _ask(request, message, form, question)


def _ask(
    request: PersonRequest, message: Message, form: forms.Form, question: Question
) -> HttpResponse:
    template = "outbox/_question.html" if request.htmx else "outbox/question.html"
    context = {"message": message, "form": form, "question": question, "folder": message.folder}
    status = 422 if form.errors else 200
    response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _tell(request: PersonRequest, changed: int, text: str) -> None:
    if changed:
        messages.success(request, text % {"count": changed})
    else:
        messages.warning(request, _("The message has changed state. Nothing was done."))
