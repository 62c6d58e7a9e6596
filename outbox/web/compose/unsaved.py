"""What a browser keeps of a page that could not be saved, and whose it is.

The browser keeps it under a mark of the user, so that nobody else who signs in there is offered it.
The marks of pages that were saved go back in a cookie: what was kept for them is deleted.
"""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from outbox.web.person import PersonRequest

SAVED_COOKIE = "outbox_saved"  # the mark of a page whose form was saved; read by unsaved.js
_SAVED_FOR = 600  # seconds


def user_mark(user_id: object) -> str:
    """Return the name under which a browser keeps what this user could not save."""
    mark = salted_hmac("outbox.unsaved", str(user_id), algorithm="sha256")
    return mark.hexdigest()[:20]


def is_of_other_user(request: PersonRequest) -> bool:
    """Return whether the page was made for another user, who was signed in before."""
    mark = request.POST.get("user")
    return mark is not None and not constant_time_compare(mark, user_mark(request.user.pk))


def tell_saved(request: PersonRequest, response: HttpResponse, page: str) -> HttpResponse:
    """Tell the browser that the form of this page was saved."""
    if page:
        response.set_cookie(
            SAVED_COOKIE, page, max_age=_SAVED_FOR, secure=request.is_secure(), samesite="Lax"
        )
    return response
