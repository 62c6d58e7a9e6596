"""Celery's entry points."""

from celery import shared_task
from django.core.management import call_command

from signin import resets, sessions, throttle


@shared_task(name="signin.send_password_resets", ignore_result=True)
def send_password_resets() -> None:
    """Send the emails of requested password resets."""
    resets.send_requested()


@shared_task(name="signin.remove_old", ignore_result=True)
def remove_old() -> None:
    """Delete ended sessions, old requests for resets, and old counts of attempts."""
    call_command("clearsessions")
    sessions.remove_old()
    resets.remove_old()
    throttle.remove_old()
