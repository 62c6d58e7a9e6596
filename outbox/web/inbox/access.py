"""Look up a received message: 404 unless it is the user's own.

Staff read messages of others in the admin only, where reading needs a permission and is recorded.
"""

from django.shortcuts import get_object_or_404

from outbox.models import InboundMessage
from outbox.web.auth import UserRequest


def get_own(request: UserRequest, pk: int, *related: str) -> InboundMessage:
    """Return the user's message with related rows. Raises Http404."""
    mine = InboundMessage.objects.visible_to(request.user)
    return get_object_or_404(mine.select_related(*related) if related else mine, pk=pk)
