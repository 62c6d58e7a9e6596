"""Which refusals a person's mail got: the few different ones among any number of recipients."""

from __future__ import annotations

from django.db import connections

from outbox.models.recipient import REFUSALS_FROM

# Steps from one reply to the next in the index `outbox_recipient_refusal`, whatever lies between.
_NEXT = """
    SELECT {column} FROM outbox_recipient
    WHERE sender_key = %(owner)s AND reply_code >= {lowest}
        AND (reply_code, reply_enhanced) {behind}
    ORDER BY reply_code, reply_enhanced LIMIT 1"""
_FIRST = "> (0, '')"
_FURTHER = "> (reply.code, reply.enhanced)"
_REPLIES = f"""
    WITH RECURSIVE reply(code, enhanced) AS (
        SELECT ({_NEXT.format(column="reply_code", lowest=REFUSALS_FROM, behind=_FIRST)}),
            ({_NEXT.format(column="reply_enhanced", lowest=REFUSALS_FROM, behind=_FIRST)})
        UNION ALL
        SELECT ({_NEXT.format(column="reply_code", lowest=REFUSALS_FROM, behind=_FURTHER)}),
            ({_NEXT.format(column="reply_enhanced", lowest=REFUSALS_FROM, behind=_FURTHER)})
        FROM reply WHERE code IS NOT NULL
    )
    SELECT code, enhanced FROM reply WHERE code IS NOT NULL LIMIT %(most)s"""  # noqa: S608  # put together from this file alone


def refusals_of(owner_key: int, using: str, most: int) -> list[tuple[int, str]]:
    """Return the codes of refusals with their enhanced codes that a sender's mail got, in order.

    At most so many: a server may make up as many as it likes.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_REPLIES, {"owner": owner_key, "most": most})
        return [(code, enhanced) for code, enhanced in cursor.fetchall()]
