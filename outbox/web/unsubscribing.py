"""The address of the header List-Unsubscribe (RFC 8058). Only a POST changes anything."""

from http import HTTPStatus

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from outbox.api import subscriptions
from outbox.api.subscriptions import UndoLimitError
from outbox.api.unsubscribing import ONE_CLICK, Subscription, find_subscription
from outbox.web.parameters import integer

_METHODS = ["GET", "HEAD", "POST"]
_MAX_BODY = 4_096  # bytes; a request of one click has 26, or some hundred as multipart
_SHOWN = 1  # characters of a local part


@csrf_exempt  # no cookie counts: the token of the link does, which other sites do not know
@login_not_required
@never_cache
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link does, or do it. Link scanners use GET, which has no effect."""
    response = _respond(request, token)
    # `django.request` would log the path of an error, and a person who reads the log could use it.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _respond(request: HttpRequest, token: str) -> HttpResponse:
    if request.method not in _METHODS:
        return HttpResponseNotAllowed(_METHODS)
    length = integer(request.META.get("CONTENT_LENGTH") or "0")
    if length is None or length > _MAX_BODY:
        return HttpResponse(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    subscription = find_subscription(token)
    if subscription is None:
        return render(request, "outbox/unsubscribe.html", status=HTTPStatus.NOT_FOUND)
    return (_apply if request.method == "POST" else _page)(request, subscription)


def _apply(request: HttpRequest, subscription: Subscription) -> HttpResponse:
    if request.POST.get(ONE_CLICK[0]) == ONE_CLICK[1]:
        subscriptions.unsubscribe(subscription, is_one_click=True)
        return HttpResponse("Unsubscribed.\n", content_type="text/plain; charset=utf-8")
    action = request.POST.get("action")
    if action == "unsubscribe":
        subscriptions.unsubscribe(subscription, is_one_click=False)
        return _page(request, subscription)
    if action == "subscribe":
        return _resubscribed(request, subscription)
    return HttpResponse(status=HTTPStatus.BAD_REQUEST)


def _resubscribed(request: HttpRequest, subscription: Subscription) -> HttpResponse:
    try:
        subscriptions.resubscribe(subscription)
    except UndoLimitError:
        return _page(request, subscription, is_limit=True)
    return _page(request, subscription, state="subscribed")


def _page(
    request: HttpRequest, subscription: Subscription, *, state: str = "", is_limit: bool = False
) -> HttpResponse:
    if not state:
        state = "question" if subscriptions.is_subscribed(subscription) else "unsubscribed"
    context = {
        "state": state,
        "is_limit": is_limit,
        "sender": subscription.account.sender,
        "address": _masked(subscription.address),
        "tag": subscription.tag,
        "can_resubscribe": state == "unsubscribed" and subscriptions.can_resubscribe(subscription),
    }
    status = HTTPStatus.TOO_MANY_REQUESTS if is_limit else HTTPStatus.OK
    return render(request, "outbox/unsubscribe.html", context, status=status)


def _masked(address: str) -> str:
    """Return the address as its user recognizes it: others may see the page, or have the link."""
    local, _, domain = address.rpartition("@")
    return f"{local[:_SHOWN]}…@{domain}"
