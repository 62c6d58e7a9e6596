"""What Django's signals report about sign-ins and users goes to the audit log."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Model
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest

from outbox.api import audit
from outbox.models import AuditAction
from signin import sessions
from signin.notices import notify

WATCHED = ("username", "email", "is_active", "is_staff", "is_superuser")


@receiver(user_logged_in, dispatch_uid="signin.signed_in")
def signed_in(request: HttpRequest | None, user: Any, **_: Any) -> None:
    """Record the sign-in and begin the session's limits."""
    audit.record(AuditAction.SIGN_IN, actor=user, target=user, request=request)
    if request is not None and hasattr(request, "session"):
        sessions.begin(request, user)


@receiver(user_logged_out, dispatch_uid="signin.signed_out")
def signed_out(request: HttpRequest | None, user: Any, **_: Any) -> None:
    """Record the sign-out and remove the session from the user's list."""
    if user is not None:
        audit.record(AuditAction.SIGN_OUT, actor=user, target=user, request=request)
    if request is not None and hasattr(request, "session"):
        sessions.forget(request)


@receiver(pre_save, dispatch_uid="signin.user_changed")
def user_changed(sender: type[Model], instance: Any, update_fields: Any, **_: Any) -> None:
    """Record changed rights, names and addresses, and notify the former address of a new one."""
    if sender is not get_user_model() or instance.pk is None:
        return
    watched = [name for name in WATCHED if update_fields is None or name in update_fields]
    before = sender._default_manager.filter(pk=instance.pk).first() if watched else None
    if before is None:
        return
    changed = [name for name in watched if getattr(before, name) != getattr(instance, name)]
    if changed:
        audit.record(AuditAction.USER_CHANGED, target=instance, fields=changed)
    if "email" in changed:
        notify(before, "email_changed")


@receiver(user_login_failed, dispatch_uid="signin.failed")
def failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Record the failure. An unknown name is not stored: it may be a password."""
    if hasattr(request, "sign_in_error"):
        return  # a blocked attempt, which the backend has recorded
    users = get_user_model()
    name = credentials.get("username") or credentials.get(users.USERNAME_FIELD) or ""
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name.replace("\0", "")}).first()
    audit.record(AuditAction.SIGN_IN_FAILED, target=user or "unknown user", request=request)
