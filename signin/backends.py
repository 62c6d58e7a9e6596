"""The authentication backend: passwords, with limits on attempts at every page."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from outbox.api import audit
from outbox.models import AuditAction
from signin import throttle


class PasswordBackend(ModelBackend):
    """Checks the password, unless the username or the network has to wait.

    Both sign-in pages, the page that asks for the password again and the change of a password call
    it, so none of them is a way around the limits.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        name = username or kwargs.get(get_user_model().USERNAME_FIELD)
        if not name or password is None:
            return None
        counted = throttle.of_name("password", name, request)
        if wait := throttle.reserve(counted):
            if request is not None:
                throttle.block(request, wait)
            if throttle.is_recorded(counted):
                audit.record(AuditAction.SIGN_IN_BLOCKED, request=request, wait=round(wait))
            raise PermissionDenied
        user = super().authenticate(request, username=name, password=password)
        if user is not None:
            throttle.succeed(counted)
        return user
