"""Pages that send email, one of them inside a transaction that may be rolled back."""

from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from shop.tasks import send_report


class NameTakenError(Exception):
    """The name is already in use."""


@csrf_exempt
@require_POST
@transaction.atomic
def sign_up(request):
    """Make a user and welcome them; where the name is taken, neither has happened."""
    name, address = request.POST["name"], request.POST["address"]
    send_mail("Welcome", f"Hello {name}!", "shop@example.com", [address])
    if User.objects.filter(username=name).exists():
        raise NameTakenError(name)
    User.objects.create_user(name, address, "a password")
    return HttpResponse(status=201)


@csrf_exempt
@require_POST
def report(request):
    """Send the report in a task."""
    send_report.delay(request.POST["address"])
    return HttpResponse(status=202)
