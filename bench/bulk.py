"""`python -m bench.bulk`: bulk operations of operators among a million messages, as Markdown.

    python -m bench.bulk [--count 1000000] [--changed 100000]

The preview is timed for several filters. Then an operation retries as many failed messages as asked
for, and another one cancels them. As in `bench.admin`, the times are what this process and its
connection to PostgreSQL spend on the processor, which is the time on an idle machine. The database
is filled for each run.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from bench.admin import processor_time
from bench.fill import KEPT, server

# As many sent messages fail, the newest first.
_FAIL = """
WITH chosen AS (
    SELECT id FROM outbox_message WHERE status = 'sent' AND id < %(count)s ORDER BY id DESC
    LIMIT %(changed)s
), failed AS (
    UPDATE outbox_recipient SET state = 'failed', reply_code = 550, reply_enhanced = '5.7.1'
    WHERE message_id IN (SELECT id FROM chosen)
), stored AS (  -- a message without its source cannot be retried
    INSERT INTO outbox_source (message_id, data, file, sha256) SELECT id, '', '', '' FROM chosen
    ON CONFLICT (message_id) DO NOTHING
)
UPDATE outbox_message SET status = 'failed', folder = 'failed', has_failure = TRUE,
    failed_count = recipient_count, owner_id = NULL, origin = 'backend',
    account_id = COALESCE(account_id, (SELECT MIN(id) FROM outbox_account))
WHERE id IN (SELECT id FROM chosen)"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bulk", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--changed", type=int, default=100_000)
    options = parser.parse_args()
    kept = KEPT.with_name("bulk")
    with server(kept, {"never": "as it was"}, as_it_is=False):
        import django

        django.setup()
        from django.db import connection

        from bench import admin_rows

        admin_rows.make(options.count)
        with connection.cursor() as cursor:
            cursor.execute(_FAIL, {"count": options.count, "changed": options.changed})
            cursor.execute("VACUUM ANALYZE")
        _show()


def _show() -> None:
    print("| operation | messages | preview | processing |\n|---|---|---|---|")
    _row("hold", {"tag": "rare"})
    _row("release", {"state": "held"})
    _row("cancel", {"state": "deferred"})
    _row("retry", {"code": "5.2.2"})
    _row("retry", {"q": "invoice"})
    _row("retry", {"code": "5.7.1"}, is_confirmed=True)
    _row("cancel", {}, is_confirmed=True)


def _row(action: str, criteria: Mapping[str, Any], *, is_confirmed: bool = False) -> None:
    from django.contrib.auth.models import User

    from outbox.api import bulk_actions
    from outbox.api.message_actions import OPERATION_ACTIONS

    actor = User.objects.get(is_superuser=True)
    began = processor_time()
    operation = bulk_actions.propose(
        OPERATION_ACTIONS[action], criteria=criteria, actor=actor, using="default"
    )
    sentence = bulk_actions.preview_of(operation, "default").sentence
    bulk_actions.examples(operation, "default")
    counted = (processor_time() - began) / 1000
    processed = ""
    if is_confirmed:
        bulk_actions.confirm(operation, why="measured", using="default")
        began = processor_time()
        bulk_actions.run_bulk_operations("default")
        seconds = (processor_time() - began) / 1000
        operation.refresh_from_db()
        processed = f"{seconds:.1f} s; changed {operation.done_count}, skipped {operation.skips}"
    print(f"| {action} {criteria} | {sentence} | {counted:.2f} s | {processed} |", flush=True)


if __name__ == "__main__":
    main()
