"""Orders, confirmed by mail inside the transaction that stores them."""

from django.core.mail import EmailMessage, send_mail
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from tests.exampleapp.models import Order


class SoldOutError(Exception):
    """There is none left."""


@require_POST
@transaction.atomic
def place(request: HttpRequest) -> HttpResponse:
    """Store the order and confirm it."""
    order = _ordered(request)
    send_mail(
        f"Your order: {order.item}",
        "It will be with you soon. {{ Not a template. }}",
        "shop@example.com",
        [order.customer],
    )
    return HttpResponse(status=201)


@require_POST
def place_too_late(request: HttpRequest) -> HttpResponse:
    """Store and confirm an order that turns out to be sold out: both are rolled back."""
    try:
        with transaction.atomic():
            order = _ordered(request)
            EmailMessage("Your order", order.item, "shop@example.com", [order.customer]).send()
            _reserve(order)
    except SoldOutError:
        return HttpResponse(status=409)
    return HttpResponse(status=201)


def _reserve(order: Order) -> None:
    raise SoldOutError(order.item)


def _ordered(request: HttpRequest) -> Order:
    return Order.objects.create(item=request.POST["item"], customer=request.POST["customer"])
