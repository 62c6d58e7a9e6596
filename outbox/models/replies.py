"""Which replies a person's mail got: the few different ones among any number of recipients."""

from __future__ import annotations

from django.db import connections

# Steps from one reply to the next in the index `outbox_recipient_reply`, whatever lies between.
_NEXT = """
    SELECT {column} FROM outbox_recipient
    WHERE sender_key = %(owner)s AND reply_code IS NOT NULL
        AND (reply_code, reply_enhanced) {behind}
    ORDER BY reply_code, reply_enhanced LIMIT 1"""
_FIRST = "> (0, '')"
_FURTHER = "> (reply.code, reply.enhanced)"
_REPLIES = f"""
    WITH RECURSIVE reply(code, enhanced) AS (
        SELECT ({_NEXT.format(column="reply_code", behind=_FIRST)}),
            ({_NEXT.format(column="reply_enhanced", behind=_FIRST)})
        UNION ALL
        SELECT ({_NEXT.format(column="reply_code", behind=_FURTHER)}),
            ({_NEXT.format(column="reply_enhanced", behind=_FURTHER)})
        FROM reply WHERE code IS NOT NULL
    )
    SELECT code, enhanced FROM reply WHERE code IS NOT NULL LIMIT %(most)s"""  # noqa: S608  # put together from this file alone


def replies_to(owner_key: int, using: str, most: int) -> list[tuple[int, str]]:
    """Return the reply codes with their enhanced codes that this sender's mail got last, in order.

    At most so many: a server may make up as many as it likes.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_REPLIES, {"owner": owner_key, "most": most})
        return [(code, enhanced) for code, enhanced in cursor.fetchall()]
