"""The site's own network in conversations: only staff see workers and private addresses."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from django.utils.translation import gettext as _

from outbox.models import SmtpSession
from outbox.net import is_public
from outbox.web.messages.conversation import Conversation, Line


def without_network(conversation: Conversation) -> Conversation:
    """Return a conversation without the worker, and without addresses of the private network."""
    private = private_addresses(conversation.session)
    sections = [
        replace(section, lines=[_hidden(line, private) for line in section.lines])
        for section in conversation.sections
    ]
    levels = conversation.tls_levels
    if levels is not None:  # their reasons quote the server's replies
        hide = partial(without_addresses, addresses=private)
        levels = replace(
            levels,
            requested_why=levels.requested_why.map_texts(hide),
            achieved_why=levels.achieved_why.map_texts(hide),
        )
    return replace(conversation, sections=sections, tls_levels=levels, shows_network=False)


def private_addresses(session: SmtpSession | None) -> list[str]:
    """Return the addresses of a session that are not public, the longest first."""
    if session is None:
        return []
    tried = [str(address) for address, _reason in session.tried]
    known = {session.address, session.local_address, *tried} - {"", session.host}
    return sorted(filter(_is_private, known), key=len, reverse=True)


def without_addresses(text: str, addresses: Iterable[str]) -> str:
    """Return a text in which these addresses are replaced."""
    for address in addresses:
        text = text.replace(address, _("(private address)"))
    return text


def _hidden(line: Line, addresses: Sequence[str]) -> Line:
    return replace(line, text=without_addresses(line.text, addresses))


def _is_private(address: str) -> bool:
    try:
        return not is_public(address)
    except ValueError:
        return True
