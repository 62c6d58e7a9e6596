"""The distinct negative replies to one sender's messages, or to all, however many there are."""

from __future__ import annotations

from django.db import connections

from outbox.models.recipient import REFUSALS_FROM

# A skip scan along the index `outbox_recipient_refusal` or `outbox_recipient_reply`, from one
# distinct reply to the next.
_NEXT = """
    SELECT {column} FROM outbox_recipient
    WHERE {whose} reply_code >= {lowest}
        AND (reply_code, reply_enhanced) {after}
    ORDER BY reply_code, reply_enhanced LIMIT 1"""
_FIRST = "> (0, '')"
_FURTHER = "> (reply.code, reply.enhanced)"
_REPLIES = """
    WITH RECURSIVE reply(code, enhanced) AS (
        SELECT ({first_code}), ({first_enhanced})
        UNION ALL
        SELECT ({next_code}), ({next_enhanced}) FROM reply WHERE code IS NOT NULL
    )
    SELECT code, enhanced FROM reply WHERE code IS NOT NULL LIMIT %(limit)s"""


def refusals_of(owner_key: int, using: str, limit: int) -> list[tuple[int, str]]:
    """Return the codes and enhanced codes of negative replies to a sender's messages, in order.

    `limit` bounds them, since a server may invent any number of codes.
    """
    return _distinct("sender_key = %(owner)s AND", {"owner": owner_key, "limit": limit}, using)


def all_refusals(using: str, limit: int) -> list[tuple[int, str]]:
    """Return the codes and enhanced codes of negative replies to all messages, in order."""
    return _distinct("", {"limit": limit}, using)


def _distinct(whose: str, params: dict[str, int], using: str) -> list[tuple[int, str]]:
    found = {"whose": whose, "lowest": REFUSALS_FROM}
    sql = _REPLIES.format(
        first_code=_NEXT.format(column="reply_code", after=_FIRST, **found),
        first_enhanced=_NEXT.format(column="reply_enhanced", after=_FIRST, **found),
        next_code=_NEXT.format(column="reply_code", after=_FURTHER, **found),
        next_enhanced=_NEXT.format(column="reply_enhanced", after=_FURTHER, **found),
    )
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return [(code, enhanced) for code, enhanced in cursor.fetchall()]
