"""The rows of `make bench-admin`, written by SQL: what operators see of a site of some years.

Of a million messages: 1,500,000 recipients, 2,000,000 attempts and 5,000,000 events. Words, domains
and accounts are as uneven as in reality. Django must be set up on an empty database.
"""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from bench import count_rows
from outbox.models import Account, Message, Source

VIEWER = "operator"
OWNERS = 200
ACCOUNTS = 12
RECIPIENTS_OF_LARGEST = 5_000

# The same random number for the same row and purpose, so that steps agree with each other.
_FUNCTIONS = """
CREATE FUNCTION pg_temp.part(g bigint, salt int) RETURNS float8 IMMUTABLE LANGUAGE sql AS
$$ SELECT (hashint8extended(g, salt) & 1048575) / 1048576.0 $$;
CREATE FUNCTION pg_temp.domain(g bigint, salt int) RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT CASE WHEN pg_temp.part(g, salt) < 0.3 THEN 'gmail.com'
    WHEN pg_temp.part(g, salt) < 0.4 THEN 'outlook.com'
    ELSE 'domain' || floor(4000 * pg_temp.part(g, salt + 1) ^ 3)::int || '.example' END $$;
CREATE FUNCTION pg_temp.word(g bigint, salt int) RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT 'word' || floor(5000 * pg_temp.part(g, salt) ^ 4)::int $$;
"""

_PLAN = """
CREATE TEMP TABLE plan AS
SELECT g AS id,
    %(start)s::timestamptz + g * (interval '1080 days' / %(count)s) AS at,
    CASE WHEN r < 0.001 AND g > %(count)s * 0.9 THEN 'uncertain'
        WHEN r < 0.004 AND g > %(count)s * 0.9 THEN 'held'
        WHEN r < 0.06 AND g > %(count)s * 0.98 THEN 'deferred'
        WHEN r < 0.10 AND g > %(count)s * 0.995 THEN 'queued'
        WHEN r < 0.02 THEN 'sent'
        WHEN r < 0.045 THEN 'failed'
        WHEN r < 0.055 THEN 'cancelled'
        ELSE 'sent' END AS status,
    CASE WHEN o < 0.5 THEN NULL ELSE %(first_owner)s + floor(o * %(owners)s)::bigint END AS owner,
    CASE WHEN g %% 100003 = 7 THEN %(last_account)s
        ELSE %(first_account)s + floor((%(accounts)s - 1) * pg_temp.part(g, 3) ^ 2)::bigint
        END AS account,
    CASE WHEN g %% 50021 = 3 THEN 'report' WHEN o < 0.5 THEN 'backend' ELSE 'compose' END AS origin,
    CASE WHEN g %% 20011 = 5 THEN '["rare"]' WHEN g %% 10 = 0 THEN '["shop"]'
        ELSE '[]' END AS tags,
    concat_ws(' ', pg_temp.word(g, 11), pg_temp.word(g, 12), pg_temp.word(g, 13),
        CASE WHEN g %% 3 = 0 THEN 'invoice' END, 'number', g) AS subject
FROM (SELECT g, pg_temp.part(g, 1) AS r, pg_temp.part(g, 2) AS o
    FROM generate_series(1, %(count)s) AS g) AS s
"""

_MESSAGES = """
INSERT INTO outbox_message (id, owner_id, account_id, origin, status, folder, has_failure,
    failed_count, failure_unseen, failure_unreported, subject, from_header, envelope_sender,
    to_summary, snippet, message_id, in_reply_to, importance, tags, metadata, related_id, size,
    recipient_count, attachment_count, needs_8bit, needs_smtputf8, on_uncertain, wants_report,
    is_sensitive, created_at, listed_at, queued_at)
SELECT id, owner, account, origin, status,
    CASE status WHEN 'sent' THEN 'sent' WHEN 'failed' THEN 'failed'
        WHEN 'cancelled' THEN 'cancelled' ELSE 'outbox' END,
    status = 'failed', (status = 'failed')::int, FALSE, FALSE, subject,
    'Shop <shop@example.com>', 'shop@example.com',
    'user' || floor(200000 * pg_temp.part(id * 4, 21))::int || '@' || pg_temp.domain(id * 4, 22),
    'The first words of the text', id || '@mail.example.com', '', 'normal', tags::jsonb, '{}', '',
    4000, CASE WHEN id %% 4 = 0 THEN 3 ELSE 1 END, 0, FALSE, FALSE, '', FALSE, FALSE, at, at, at
FROM plan ORDER BY id
"""

_RECIPIENTS = """
INSERT INTO outbox_recipient (message_id, role, name, address, sender_key, priority, state,
    next_attempt_at, attempts, attempts_at_retry, first_attempt_at, last_attempt_at, final_at,
    ended_as, reply_code, reply_enhanced, reply_text, reply_command, remote_host, remote_queue_id,
    reason)
SELECT id, 'to', '',
    'user' || floor(200000 * pg_temp.part(id * 4 + n, 21))::int || '@'
        || pg_temp.domain(id * 4 + n, 22),
    coalesce(owner, 0), 3, state,
    CASE WHEN state IN ('queued', 'deferred') THEN at + interval '1 day' END,
    CASE WHEN state = 'queued' THEN 0 ELSE 2 END, 0, at, at,
    CASE WHEN state IN ('sent', 'failed', 'expired') THEN at END,
    CASE WHEN state = 'expired' THEN 'expired' END,
    CASE WHEN state = 'sent' THEN 250 WHEN state = 'deferred' THEN 451
        WHEN state = 'failed' THEN CASE WHEN r < 0.7 THEN 550 WHEN r < 0.995 THEN 552
        ELSE 521 END END,
    CASE WHEN state = 'sent' THEN '2.0.0' WHEN state = 'deferred' THEN '4.7.1'
        WHEN state = 'failed' THEN CASE WHEN r < 0.6 THEN '5.1.1' WHEN r < 0.7 THEN '5.7.1'
        WHEN r < 0.995 THEN '5.2.2' ELSE '5.3.2' END ELSE '' END,
    CASE WHEN state = 'sent' THEN 'Ok: queued as Q' || id || 'N' || n
        WHEN state = 'failed' THEN 'No such user here' ELSE '' END,
    CASE WHEN state IN ('sent', 'failed') THEN 'DATA' ELSE '' END, 'mx.example.net',
    CASE WHEN state = 'sent' THEN 'Q' || id || 'N' || n ELSE '' END, ''
FROM (SELECT *, pg_temp.part(id * 4 + n, 31) AS r,
        CASE WHEN status = 'failed' AND pg_temp.part(id, 32) < 0.05 THEN 'expired'
            WHEN status = 'failed' AND n > 0 THEN 'sent' ELSE status END AS state
    FROM plan CROSS JOIN generate_series(0, 2) AS n WHERE n = 0 OR id %% 4 = 0) AS s
ORDER BY id, n
"""

_SESSIONS = """
INSERT INTO outbox_smtpsession (id, host, address, port, local_address, started_at, greeting,
    extensions, auth_mechanism, tried, phases_ms, opening, closing)
SELECT g, 'mx.example.net', '192.0.2.1', 25, '', now(), '220 mx.example.net', '{}', '', '[]',
    '{"connect": 12.5}', '[[1.5, "S", "220 mx.example.net"]]', '[[90.0, "C", "QUIT"]]'
FROM generate_series(1, %(count)s / 50 + 1) AS g
"""

_ATTEMPTS = """
INSERT INTO outbox_attempt (message_id, session_id, number_in_session, started_at, ended_at,
    outcome, is_resend, phase, fault, reason, reply_code, reply_enhanced, reply_text,
    reply_command, results, phases_ms, transfer, sent_sha256, late_reply, traceback)
SELECT id, id / 50 + 1, 1, at + n * interval '1 minute', at + n * interval '61 seconds',
    CASE WHEN n = 0 THEN 'deferred' WHEN status IN ('sent', 'failed', 'uncertain') THEN status
        ELSE 'deferred' END, FALSE, '', '', '', 451, '4.7.1', 'Greylisted', 'RCPT', '',
    '{"mail": 3.0, "rcpt": 4.0}',
    '[[12.0, "C", "RCPT TO:<jane@example.com>"], [14.0, "S", "250 2.1.5 Ok"]]', '', '', ''
FROM plan CROSS JOIN generate_series(0, 1) AS n ORDER BY id, n
"""

_EVENTS = """
INSERT INTO outbox_event (message_id, kind, from_state, to_state, reason, why, at)
SELECT id, 'held', 'queued', 'held', '', '', at + n * interval '1 second'
FROM plan CROSS JOIN generate_series(0, 4) AS n ORDER BY id, n
"""

_ENTRIES = """
INSERT INTO outbox_siteentry (message_id, listed_at, terms)
SELECT id, at, (
    SELECT string_agg('''' || term || ''':' || n, ' ') FROM (
        SELECT term, min(n) AS n FROM unnest(
            ARRAY['origin=' || origin, 'account=' || account,
                CASE WHEN tags = '[]' THEN 'tag=' ELSE 'tag=' || (tags::jsonb ->> 0) END]
            || (SELECT array_agg('s:' || word) FROM unnest(string_to_array(subject, ' ')) AS word)
            || ARRAY['@' || pg_temp.domain(id * 4, 22)]
            || CASE WHEN id %% 4 = 0 THEN ARRAY['@' || pg_temp.domain(id * 4 + 1, 22),
                '@' || pg_temp.domain(id * 4 + 2, 22)] ELSE ARRAY[]::text[] END
        ) WITH ORDINALITY AS t(term, n) GROUP BY term) AS d)::tsvector
FROM plan ORDER BY id
"""

_LARGEST = """
INSERT INTO outbox_recipient (message_id, role, name, address, sender_key, priority, state,
    attempts, attempts_at_retry, reply_enhanced, reply_text, reply_command, remote_host,
    remote_queue_id, reason)
SELECT %(count)s, 'to', '', 'many' || g || '@example.com', 0, 3, 'sent', 1, 0, '', '', '', '', '',
    '' FROM generate_series(1, %(largest)s) AS g
"""


def make(count: int) -> None:
    """Fill the database of Django with so many messages."""
    call_command("migrate", verbosity=0)
    User.objects.create_superuser(VIEWER)
    owners = [User.objects.create(username=f"owner{number}") for number in range(OWNERS)]
    accounts = [
        Account.objects.create(name=f"Account {number}", from_address="a@example.com", host="h")
        for number in range(ACCOUNTS)
    ]
    params = {
        "count": count,
        "start": timezone.now() - dt.timedelta(days=1081),
        "first_owner": owners[0].pk,
        "owners": OWNERS,
        "first_account": accounts[0].pk,
        "last_account": accounts[-1].pk,
        "accounts": ACCOUNTS,
        "largest": RECIPIENTS_OF_LARGEST,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # checks no foreign key
        cursor.execute(_FUNCTIONS)
        for statement in (
            *(_PLAN, _MESSAGES, _RECIPIENTS, _SESSIONS, _ATTEMPTS, _EVENTS, _ENTRIES, _LARGEST),
            "UPDATE outbox_message SET recipient_count = 3 + %(largest)s WHERE id = %(count)s",
            "SELECT setval(pg_get_serial_sequence('outbox_message', 'id'), %(count)s)",
        ):
            cursor.execute(statement, params)
            print(end=".", flush=True)
        cursor.execute("SET session_replication_role = origin")
    count_rows.make([account.pk for account in accounts])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    print()
    for pk in Message.objects.order_by("-pk").values_list("pk", flat=True)[:100]:
        text = b"From: shop@example.com\r\nSubject: Text\r\n\r\n" + b"A line of text.\r\n" * 200
        Source.of(pk, text, "0" * 64).save(force_insert=True)
