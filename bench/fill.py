"""`make fill`: the speed of every page for a user with a million messages, as Markdown.

    python -m bench.fill [--count 1000000] [--received N] [--requests 60] [--only WORD] [--as-it-is]
        [--processor]

`--count` is the number of sent messages; as many are received, unless `--received` says otherwise.
PostgreSQL has its default settings except for three. Its data is kept in `.cache` for the next run.
It is created again after a change of the schema or of these sources, except with `--as-it-is`. The
pages are requested in this process through all of Django: middleware, session, view and template.
Neither a network nor a browser is involved. On a machine that does other work, `--processor` counts
what this process and its connection to PostgreSQL spend on the processor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from dev.postgres_server import FORGETFUL, PostgresServer, unprivileged_user

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".cache" / "fill"
# The default memory suits a small machine. A busy server has one core per page, hence no workers.
SETTINGS = {
    "shared_buffers": "1GB",
    "work_mem": "16MB",
    "max_parallel_workers_per_gather": "0",
}
MADE_BY = (
    "bench/fill_rows.py",
    "bench/fill_received.py",
    "bench/fill_words.py",
    "outbox/migrations",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fill", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--received", type=int, help="received messages, by default as many")
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--only", default="", help="pages with this in their group or name")
    parser.add_argument(
        "--as-it-is", action="store_true", help="use the existing data, even if it is old"
    )
    parser.add_argument(
        "--processor", action="store_true", help="count the time on the processor only"
    )
    options = parser.parse_args()
    received = options.count if options.received is None else options.received
    mark = _mark(options.count) | {"received": received}  # the sources may change while it fills
    kept = KEPT / (
        f"{options.count}" if received == options.count else f"{options.count}-{received}"
    )
    with server(kept, mark, as_it_is=options.as_it_is) as is_filled:
        import django

        django.setup()
        from bench import fill_mailbox, fill_report
        from bench.admin import processor_time

        if not is_filled:
            fill_mailbox.make(options.count, received)
            (kept / "made.json").write_text(json.dumps(mark))
        now = processor_time if options.processor else fill_report.clock
        fill_report.show(options.requests, options.only, now)


@contextmanager
def server(kept: Path, wanted: dict[str, object], *, as_it_is: bool) -> Iterator[bool]:
    """Run PostgreSQL and set the environment for it; yield whether it is already filled."""
    if unprivileged_user() and not all(
        one.stat().st_mode & 0o001 for one in KEPT.parents if one.exists()
    ):
        raise SystemExit(
            f"As root, PostgreSQL runs as an unprivileged user without access to {ROOT}."
        )
    made = kept / "made.json"
    is_filled = made.exists() and (as_it_is or json.loads(made.read_text()) == wanted)
    if not is_filled:
        shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True, exist_ok=True)
    postgres = PostgresServer(options=FORGETFUL | SETTINGS, kept_in=kept)
    try:
        postgres.start()
        os.environ |= environment(postgres.url, kept)
        yield is_filled
    finally:
        postgres.close()


def _mark(count: int) -> dict[str, object]:
    """Return what identifies the data: its size, and a digest of the sources and the schema."""
    digest = hashlib.sha256()
    for name in MADE_BY:
        path = ROOT / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return {"count": count, "sources": digest.hexdigest()}


def environment(url: str, folder: Path) -> dict[str, str]:
    """Return the settings of the site whose pages are measured."""
    return {
        "DJANGO_SETTINGS_MODULE": "mailsite.settings",
        "DATABASE_URL": url,
        "REDIS_URL": "redis://127.0.0.1:1/0",  # no worker is woken
        "OUTBOX_ALLOW_PRIVATE_HOSTS": "on",  # the mail server of the fill is one
        "OUTBOX_MAX_MESSAGES_PER_HOUR": "10000000",
        "OUTBOX_MAX_DRAFTS": "10000000",
        "OUTBOX_MAX_STORED_BYTES": "1000000000000",
        "SECRET_KEY": "for a benchmark only, and long enough for Django's own check",
        "OUTBOX_SECRET_KEYS": Fernet.generate_key().decode(),
        "ENV_FILE": "",
        "DEBUG": "off",
        "HTTPS": "off",
        "ALLOWED_HOSTS": "localhost",
        "LOG_LEVEL": "ERROR",
        "STATIC_ROOT": str(folder / "static"),
        "MEDIA_ROOT": str(folder / "media"),
    }


if __name__ == "__main__":
    main()
