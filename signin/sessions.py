"""Sign-in sessions: a list for their user, a limit without activity and one in total.

The times are in the session itself, so most requests cost no further query. Once a minute they are
stored, together with the row that the list shows.
"""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from outbox.api import audit
from outbox.db.clock import database_now
from outbox.models import AuditAction
from signin.models import SignInSession

STATE = "signin"  # in the session: when it began and was last used
NOTED_EVERY = 60  # seconds
_BROWSER_MAX = 200


def session_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return the middleware. It follows AuthenticationMiddleware and MessageMiddleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.COOKIES.get(settings.SESSION_COOKIE_NAME) and request.user.is_authenticated:
            _use(request)
        return get_response(request)

    return middleware


def begin(request: HttpRequest, user: Any) -> None:
    """Begin the limits of a new session and add it to the list."""
    now = database_now()
    request.session[STATE] = {"began": now.timestamp(), "seen": 0}
    if request.session.session_key:  # else the next request adds it
        _note(request, user, now)


def forget(request: HttpRequest) -> None:
    """Remove the session from the list."""
    if key := request.session.session_key:
        SignInSession.objects.filter(session_key=key).delete()


def of_user(user: User) -> QuerySet[SignInSession]:
    """Return the sessions in which the user is signed in, the last used first."""
    alive = Session.objects.filter(expire_date__gt=database_now()).values("session_key")
    return SignInSession.objects.filter(user=user, session_key__in=alive)


def end(request: HttpRequest, ended: QuerySet[SignInSession]) -> int:
    """End these sessions at once, and return how many there were."""
    rows = list(ended)
    for row in rows:
        SessionStore(row.session_key).delete()
        audit.record(AuditAction.SESSION_ENDED, request=request, began=row.started_at.isoformat())
    SignInSession.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def remove_old() -> None:
    """Delete the rows of sessions that have ended."""
    before = database_now() - dt.timedelta(seconds=settings.SESSION_COOKIE_AGE)
    SignInSession.objects.filter(started_at__lt=before).delete()


def _use(request: HttpRequest) -> None:
    """Note that the session is used, or end it if it was unused or open for too long."""
    state = request.session.get(STATE)
    # The clock of this host decides only whether to ask the database's clock.
    if state is not None and 0 <= time.time() - state["seen"] < NOTED_EVERY:
        return
    now = database_now()
    if state is None:
        begin(request, request.user)
    elif _is_over(state, now.timestamp()):
        audit.record(AuditAction.SESSION_ENDED, request=request, limit=True)
        logout(request)
        messages.info(request, _("Your sign-in session has ended. Sign in again."))
    elif not _is_background(request):
        _note(request, request.user, now)


def _is_over(state: dict[str, Any], now: float) -> bool:
    began: float = state["began"]
    seen: float = state["seen"] or began
    is_idle: bool = now - seen > settings.SESSION_IDLE_LIMIT
    return is_idle or now - began > settings.SESSION_COOKIE_AGE


def _is_background(request: HttpRequest) -> bool:
    """Return whether a script asks: an open page refreshes itself, and is not activity."""
    return request.method == "GET" and bool(request.headers.get("HX-Request"))


def _note(request: HttpRequest, user: Any, now: dt.datetime) -> None:
    state = request.session[STATE]
    SignInSession.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={
            "user": user,
            "started_at": dt.datetime.fromtimestamp(state["began"], dt.UTC),
            "seen_at": now,
            "address": audit.address_of(request) or None,
            "browser": request.headers.get("User-Agent", "").replace("\0", "")[:_BROWSER_MAX],
        },
    )
    request.session[STATE] = {**state, "seen": now.timestamp()}
