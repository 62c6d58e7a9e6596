"""`make fill`: how quick every page is for a person with a million mails, as Markdown.

    python -m bench.fill [--count 1000000] [--requests 60] [--only WORD] [--as-it-is]

PostgreSQL as it comes but for three settings, its data kept below `.cache` for the next time; a
changed schema or filling makes them anew, unless told to take them as they are. The pages are asked
for in this process through the whole of Django: middleware, session, view, template. No network and
no browser.
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
# It comes with memory for a toy; and where every core has a page to make, a page has one.
SETTINGS = {
    "shared_buffers": "1GB",
    "work_mem": "16MB",
    "max_parallel_workers_per_gather": "0",
}
MADE_BY = ("bench/fill.sql", "bench/fill_rows.py", "bench/fill_words.py", "outbox/migrations")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fill", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--only", default="", help="pages with this in their name")
    parser.add_argument("--as-it-is", action="store_true", help="keep what is filled, if old too")
    options = parser.parse_args()
    mark = _mark(options.count)  # before anybody changes a source while it fills
    kept = KEPT / str(options.count)
    with server(kept, mark, as_it_is=options.as_it_is) as is_filled:
        import django

        django.setup()
        from bench import fill_mailbox, fill_report

        if not is_filled:
            fill_mailbox.make(os.environ["DATABASE_URL"], options.count)
            (kept / "made.json").write_text(json.dumps(mark))
        fill_report.show(options.requests, options.only)


@contextmanager
def server(kept: Path, wanted: dict[str, object], *, as_it_is: bool) -> Iterator[bool]:
    """Run PostgreSQL and name it in the environment; give whether the mail is there already."""
    if unprivileged_user() and not all(
        one.stat().st_mode & 0o001 for one in KEPT.parents if one.exists()
    ):
        raise SystemExit(f"Root runs PostgreSQL as nobody, who may not go to {ROOT}.")
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
    """Name what is filled: how much, by what sources, into what schema."""
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
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nothing is sent
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
