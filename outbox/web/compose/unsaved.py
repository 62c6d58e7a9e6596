"""What the browser keeps of a page that could not be saved.

The browser stores it under a mark of the user, so that another user who signs in there does not see
it. A cookie lists the page that was saved, so that the browser deletes its copy.
"""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from outbox.web.auth import UserRequest

SAVED_COOKIE = "outbox_saved"  # the mark of a page whose form was saved; read by unsaved.js
_COOKIE_AGE = 600  # seconds


def user_mark(user_id: object) -> str:
    """Return the name under which a browser keeps what this user could not save."""
    mark = salted_hmac("outbox.unsaved", str(user_id), algorithm="sha256")
    return mark.hexdigest()[:20]


def is_of_other_user(request: UserRequest) -> bool:
    """Return whether the page was made for another user, who was signed in before."""
    mark = request.POST.get("user")
    return mark is not None and not constant_time_compare(mark, user_mark(request.user.pk))


def set_saved_cookie(request: UserRequest, response: HttpResponse, page: str) -> HttpResponse:
    """Add the cookie by which the browser deletes its copy of this page."""
    if page:
        response.set_cookie(
            SAVED_COOKIE, page, max_age=_COOKIE_AGE, secure=request.is_secure(), samesite="Lax"
        )
    return response
