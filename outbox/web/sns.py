"""The address that Amazon SNS sends notifications about messages to."""

from http import HTTPStatus

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from outbox.api.provider_notifications import (
    MAX_BODY,
    NotAcceptedError,
    TryAgainError,
    receive_sns,
)
from outbox.conf import get_conf
from outbox.web.parameters import integer


@login_not_required
@csrf_exempt  # no cookie counts: the signature of the body does
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    """Apply a notification. Amazon repeats it unless the response is 2xx or 4xx."""
    if not get_conf().sns_topics:
        return HttpResponse(status=HTTPStatus.NOT_FOUND)
    length = integer(request.META.get("CONTENT_LENGTH") or "")
    if length is None or length > MAX_BODY:
        return HttpResponse(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        receive_sns(request.read(length))
    except NotAcceptedError:
        return HttpResponse(status=HTTPStatus.FORBIDDEN)
    except TryAgainError:
        return HttpResponse(status=HTTPStatus.SERVICE_UNAVAILABLE)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)
