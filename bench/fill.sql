-- A mailbox of many mails, made where it is kept. Run by bench/fill_rows.py, which has put the small
-- tables fill_settings, fill_owner, fill_text, fill_subject, fill_person and fill_reply in place.
-- Statements end with a line that has only a semicolon.

-- Everything that chance decides about a mail: who it is of, what it says, what became of it.
CREATE UNLOGGED TABLE fill_plan AS
SELECT
    n,
    owner_id,
    CASE WHEN is_late THEN
        CASE
            WHEN fate < 0.68 THEN 'sent' WHEN fate < 0.73 THEN 'queued'
            WHEN fate < 0.83 THEN 'deferred' WHEN fate < 0.85 THEN 'uncertain'
            WHEN fate < 0.88 THEN 'held' WHEN fate < 0.94 THEN 'scheduled'
            WHEN fate < 0.965 THEN 'failed' WHEN fate < 0.97 THEN 'partial'
            WHEN fate < 0.99 THEN 'draft' ELSE 'cancelled'
        END
    ELSE
        CASE
            WHEN fate < 0.93 THEN 'sent' WHEN fate < 0.955 THEN 'failed'
            WHEN fate < 0.965 THEN 'partial' WHEN fate < 0.985 THEN 'draft' ELSE 'cancelled'
        END
    END AS status,
    -- A burst: a campaign long ago, all of it about one thing, and nothing of it since.
    language = 'en' AND n BETWEEN s.count * 0.2 AND s.count * 0.3 AS is_campaign,
    language,
    floor(s.passages * power(a, 3))::int AS a,
    floor(s.passages * power(b, 3))::int AS b,
    floor(s.passages * power(c, 3))::int AS c,
    floor(s.passages * power(d, 3))::int AS d,
    floor(s.subjects * power(e, 3))::int AS subject,
    floor(p.knows * power(f, 2))::int AS person,
    CASE WHEN g < 0.8 THEN 1 WHEN g < 0.999 THEN 2 + floor(4 * h)::int ELSE 40 END AS people,
    i AS reply,
    CASE WHEN j < 0.1 THEN 1 + floor(j * 30)::int ELSE 0 END AS files,
    CASE WHEN k < 0.2 THEN 'shop' WHEN k < 0.201 THEN 'urgent' ELSE '' END AS tag,
    now() - (s.count - n) * s.apart AS at
FROM (
    SELECT
        n,
        n > s.count * 0.9 AS is_late,
        CASE WHEN random() < 0.2 THEN 'zh' ELSE 'en' END AS language,
        -- Every sixth mail is somebody else's.
        CASE WHEN n % 6 = 0 THEN s.others[1 + n / 6 % cardinality(s.others)] ELSE s.reader END
            AS owner_id,
        random() AS fate, random() AS a, random() AS b, random() AS c, random() AS d,
        random() AS e, random() AS f, random() AS g, random() AS h, random() AS i, random() AS j,
        random() AS k
    FROM fill_settings s, generate_series(1, s.count) AS n
) drawn
JOIN fill_owner p USING (owner_id), fill_settings s
ORDER BY n
;
UPDATE fill_plan SET people = greatest(people, 2) WHERE status = 'partial'
;
CREATE UNIQUE INDEX ON fill_plan (n)
;
ANALYZE fill_plan
;

-- Whom each mail goes to, in what state, with which reply.
INSERT INTO outbox_recipient (
    message_id, role, name, address, destination_id, attempt_id, sender_key, priority, state,
    next_attempt_at, resend_at, ended_as, expires_at, attempts, first_attempt_at, last_attempt_at,
    settled_at,
    reply_code, reply_enhanced, reply_text, reply_command, remote_host, remote_queue_id, reason
)
SELECT
    n, CASE WHEN place = 0 THEN 'to' ELSE 'cc' END, name, address, s.destination,
    CASE WHEN is_tried THEN n END, owner_id, 3, state,
    CASE
        WHEN status = 'scheduled' THEN now() + interval '3 days'
        WHEN state IN ('queued', 'deferred') THEN now() + interval '1 hour'
    END,
    CASE WHEN state = 'uncertain' THEN now() + interval '1 hour' END,
    CASE WHEN state IN ('expired', 'bounced') THEN state END,
    at + interval '5 days', is_tried::int, CASE WHEN is_tried THEN at END,
    CASE WHEN is_tried THEN at END,
    CASE WHEN state NOT IN ('queued', 'deferred', 'uncertain', 'held') THEN at END,
    code, coalesce(enhanced, ''), coalesce(said, ''), coalesce(command, ''),
    CASE WHEN is_tried THEN 'mx.example.net' ELSE '' END,
    CASE WHEN state = 'sent' THEN to_hex(n) ELSE '' END, ''
FROM (
    SELECT
        plan.*, place, name, address,
        (plan.person + place * 7) % owner.knows AS who,
        CASE
            WHEN status = 'partial' THEN CASE WHEN place = 0 THEN 'sent' ELSE 'failed' END
            WHEN status = 'failed' AND reply > 0.9 THEN 'bounced'
            WHEN status = 'failed' AND reply > 0.85 THEN 'expired'
            WHEN status = 'scheduled' THEN 'queued'
            ELSE status
        END AS state,
        status NOT IN ('queued', 'scheduled', 'cancelled') AS is_tried
    FROM fill_plan plan
    JOIN fill_owner owner USING (owner_id)
    JOIN fill_place ON place < plan.people
    JOIN fill_person person
        ON person.owner_id = plan.owner_id AND id = (plan.person + place * 7) % owner.knows
    WHERE status <> 'draft'
) addressed
LEFT JOIN fill_reply answer
    ON answer.to_state = state AND reply >= answer.above AND reply < answer.below
CROSS JOIN fill_settings s
ORDER BY n, place
;

INSERT INTO outbox_message (
    id, owner_id, account_id, origin, status, folder, subject, from_header, envelope_sender,
    to_summary, snippet, message_id, in_reply_to, priority, tags, metadata, size, recipient_count,
    attachment_count, needs_8bit, needs_smtputf8, on_uncertain, created_at, listed_at, queued_at,
    send_at, expires_at, has_failure, failed_count
)
SELECT
    n, plan.owner_id, s.account, CASE WHEN n % 3 = 0 THEN 'api' ELSE 'compose' END, status,
    CASE
        WHEN status = 'draft' THEN 'drafts' WHEN status = 'partial' THEN 'failed'
        WHEN status IN ('scheduled', 'sent', 'failed', 'cancelled') THEN status ELSE 'outbox'
    END,
    CASE WHEN is_campaign THEN 'Campaign ' ELSE '' END || subject.text || ' ' || n, s.sender,
    'robin@example.org',
    (
        SELECT string_agg(coalesce(nullif(name, ''), address), ', ' ORDER BY place)
        FROM fill_place
        JOIN fill_person who
            ON who.owner_id = plan.owner_id AND who.id = (person + place * 7) % owner.knows
        WHERE place < least(people, 3)
    ),
    left(a.text, 160), n || '@mail.example.org', '', 3,
    CASE WHEN tag = '' THEN '[]' ELSE jsonb_build_array(tag) END, '{}', 2500,
    CASE WHEN status = 'draft' THEN 0 ELSE people END, files, false, false, '', at, at,
    CASE WHEN status <> 'draft' THEN at END,
    CASE WHEN status = 'scheduled' THEN now() + interval '3 days' END, at + interval '5 days',
    status IN ('failed', 'partial'),
    CASE status WHEN 'failed' THEN people WHEN 'partial' THEN 1 ELSE 0 END
FROM fill_plan plan
JOIN fill_owner owner USING (owner_id)
JOIN fill_text a ON a.owner_id = plan.owner_id AND a.language = plan.language AND a.id = plan.a
JOIN fill_subject subject
    ON subject.owner_id = plan.owner_id
    AND subject.language = plan.language AND subject.id = plan.subject
CROSS JOIN fill_settings s
ORDER BY n
;

-- What it says: a draft as it was typed, everything else as it leaves.
INSERT INTO outbox_draft (
    message_id, "to", cc, bcc, reply_to, text, html, "references", made_as, version, saved_from,
    updated_at
)
SELECT
    n, address, '', '', '', concat_ws(' ', a.text, b.text, c.text, d.text, 'Order ' || n), '', '',
    '', 1, '', at
FROM fill_plan plan
JOIN fill_person who ON who.owner_id = plan.owner_id AND who.id = person
JOIN fill_text a ON a.owner_id = plan.owner_id AND a.language = plan.language AND a.id = plan.a
JOIN fill_text b ON b.owner_id = plan.owner_id AND b.language = plan.language AND b.id = plan.b
JOIN fill_text c ON c.owner_id = plan.owner_id AND c.language = plan.language AND c.id = plan.c
JOIN fill_text d ON d.owner_id = plan.owner_id AND d.language = plan.language AND d.id = plan.d
WHERE status = 'draft'
ORDER BY n
;
INSERT INTO outbox_source (message_id, data, file, sha256)
SELECT n, source, '', encode(sha256(source), 'hex')
FROM (
    SELECT
        n,
        convert_to(
            concat(
                'Date: ', to_char(at AT TIME ZONE 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS'), ' +0000',
                e'\r\nFrom: ', s.sender, e'\r\nTo: ', who.address,
                e'\r\nSubject: Mail ', n, e'\r\nMessage-ID: <', n, e'@mail.example.org>',
                e'\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"',
                e'\r\nContent-Transfer-Encoding: base64\r\n\r\n',
                replace(
                    encode(
                        convert_to(
                            concat_ws(' ', a.text, b.text, c.text, d.text, 'Order ' || n), 'UTF8'
                        ),
                        'base64'
                    ),
                    e'\n',
                    e'\r\n'
                ),
                e'\r\n'
            ),
            'UTF8'
        ) AS source
    FROM fill_plan plan
    JOIN fill_person who ON who.owner_id = plan.owner_id AND who.id = person
    JOIN fill_text a ON a.owner_id = plan.owner_id AND a.language = plan.language AND a.id = plan.a
    JOIN fill_text b ON b.owner_id = plan.owner_id AND b.language = plan.language AND b.id = plan.b
    JOIN fill_text c ON c.owner_id = plan.owner_id AND c.language = plan.language AND c.id = plan.c
    JOIN fill_text d ON d.owner_id = plan.owner_id AND d.language = plan.language AND d.id = plan.d
    CROSS JOIN fill_settings s
    WHERE status <> 'draft'
) written
ORDER BY n
;

-- How it left: one try a mail, fifty of them over a connection.
INSERT INTO outbox_session (
    id, destination_id, worker_id, host, address, port, local_address, started_at, ended_at,
    greeting, extensions, tls, auth_mechanism, tried, phases_ms, opening, closing
)
SELECT
    n / 50 + 1, s.destination, s.worker, 'mx.example.net', '192.0.2.25', 587, '192.0.2.7', at,
    at + interval '1 minute', '220 mx.example.net ESMTP', '{"PIPELINING": "", "SIZE": "26214400"}',
    '{"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "verified": true}', 'PLAIN', '[]',
    '{"connect": 12.5, "greeting": 8.1, "ehlo": 9.3, "tls": 31.0, "auth": 14.2}',
    '[[0.0, "-", "connected"], [20.6, "S", "220 mx.example.net ESMTP"],'
    ' [20.7, "C", "EHLO outbox.example.org"], [29.9, "S", "250-mx.example.net\n250 PIPELINING"],'
    ' [30.0, "C", "STARTTLS"], [38.4, "S", "220 ready"], [69.9, "C", "AUTH PLAIN ********"],'
    ' [84.1, "S", "235 2.7.0 ok"]]',
    '[[60000.0, "C", "QUIT"], [60008.0, "S", "221 2.0.0 bye"]]'
FROM fill_plan, fill_settings s
WHERE n % 50 = 0 OR n = 1
;
INSERT INTO outbox_attempt (
    id, message_id, worker_id, session_id, number_in_session, started_at, dot_marked_at, ended_at,
    outcome, is_resend, phase, fault, detail, reply_code, reply_enhanced, reply_text, results,
    phases_ms, transfer, sent_sha256, late_reply, traceback
)
SELECT
    n, n, s.worker, n / 50 + 1, n % 50 + 1, at, at, at + interval '80 milliseconds',
    CASE WHEN status = 'held' THEN 'quarantined' ELSE status END, false, '', '', '',
    coalesce(code, 250), coalesce(enhanced, '2.0.0'), coalesce(said, ''),
    jsonb_build_array(
        jsonb_build_object(
            'address', who.address, 'state', status, 'code', code, 'enhanced', enhanced,
            'text', said, 'command', command
        )
    )::text,
    '{"mail": 9.4, "rcpt": 9.6, "data": 10.2, "body": 1.2, "dot": 48.7}',
    jsonb_build_array(
        jsonb_build_array(90.1, 'C', 'MAIL FROM:<robin@example.org> SIZE=2500'),
        jsonb_build_array(90.2, 'C', 'RCPT TO:<' || who.address || '>'),
        jsonb_build_array(90.2, 'C', 'DATA'), jsonb_build_array(99.5, 'S', '250 2.1.0 ok'),
        jsonb_build_array(99.7, 'S', code || ' ' || enhanced || ' ' || said),
        jsonb_build_array(109.9, 'S', '354 go ahead'), jsonb_build_array(111.1, 'C', '.'),
        jsonb_build_array(159.8, 'S', code || ' ' || enhanced || ' ' || said)
    )::text,
    '', '', ''
FROM fill_plan plan
JOIN fill_person who ON who.owner_id = plan.owner_id AND who.id = person
LEFT JOIN fill_reply answer
    ON answer.to_state = status AND reply >= answer.above AND reply < answer.below
CROSS JOIN fill_settings s
WHERE status NOT IN ('draft', 'queued', 'scheduled', 'cancelled')
ORDER BY n
;
INSERT INTO outbox_event (message_id, recipient_id, kind, from_state, to_state, actor_id, why, at)
SELECT n, NULL, 'queued', '', 'queued', owner_id, '', at
FROM fill_plan WHERE status <> 'draft' ORDER BY n
;

-- What it is found by: term by term what `outbox.models.search` writes, as the fill checks.
CREATE AGGREGATE fill_row(tsvector) (SFUNC = tsvector_concat, STYPE = tsvector, INITCOND = '')
;
INSERT INTO outbox_searchentry (message_id, owner_key, listed_at, head, body)
SELECT
    n, plan.owner_id, at,
    CASE WHEN is_campaign THEN owner.campaign ELSE ''::tsvector END
    || subject.terms || format('''%ss:%s'':1', plan.owner_id, n)::tsvector
    || (
        -- A draft has its people as they were typed.
        SELECT fill_row(CASE WHEN status = 'draft' THEN typed ELSE terms END ORDER BY place)
        FROM fill_place
        JOIN fill_person who
            ON who.owner_id = plan.owner_id AND who.id = (person + place * 7) % owner.knows
        WHERE place < CASE WHEN status = 'draft' THEN 1 ELSE people END
    )
    || owner.sender
    || CASE WHEN files > 0 THEN owner.attachment ELSE ''::tsvector END
    || owner.account
    || CASE
        WHEN tag <> '' THEN format('''%sis:tag=%s'':1', plan.owner_id, tag)::tsvector
        ELSE ''::tsvector
    END,
    a.terms || b.terms || c.terms || d.terms
    || format('''%1$s:order'':1 ''%1$s:%2$s'':2', plan.owner_id, n)::tsvector
FROM fill_plan plan
JOIN fill_owner owner USING (owner_id)
JOIN fill_subject subject
    ON subject.owner_id = plan.owner_id
    AND subject.language = plan.language AND subject.id = plan.subject
JOIN fill_text a ON a.owner_id = plan.owner_id AND a.language = plan.language AND a.id = plan.a
JOIN fill_text b ON b.owner_id = plan.owner_id AND b.language = plan.language AND b.id = plan.b
JOIN fill_text c ON c.owner_id = plan.owner_id AND c.language = plan.language AND c.id = plan.c
JOIN fill_text d ON d.owner_id = plan.owner_id AND d.language = plan.language AND d.id = plan.d
ORDER BY n
;
INSERT INTO outbox_searchmark (upto) SELECT count FROM fill_settings
;

-- Whom the reader knows.
INSERT INTO outbox_contact (owner_id, name, address, key, sort_key, is_kept, used_at, created_at)
SELECT owner_id, name, address, address, lower(coalesce(nullif(name, ''), address)), id % 3 = 0,
    now() - id * interval '1 hour', now()
FROM fill_person JOIN fill_settings s ON owner_id = s.reader WHERE id < 5000
;

-- Keys go on from here.
SELECT setval(pg_get_serial_sequence('outbox_message', 'id'), count),
    setval(pg_get_serial_sequence('outbox_attempt', 'id'), count),
    setval(pg_get_serial_sequence('outbox_session', 'id'), count / 50 + 2)
FROM fill_settings
;
