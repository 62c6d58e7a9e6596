"""Kill everything while mail drains, and let the receivers say what came of it.

    python -m tests.crash [--scale short|medium|full] [--seed 1] [--keep DIRECTORY] [--json FILE]

Starts PostgreSQL with its default durability, Redis, two receivers, Celery workers, beat and the
web; kills them at random and at every point of `kills_points` while mail is queued, cancelled and
composed; drains, settles what waits for a person as that person would, and judges. Prints a table,
and exits with 1 when anything was found that must not be.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.crash.stage import Stage

if TYPE_CHECKING:
    from tests.crash.judge import Verdict

SETTINGS = {
    "OUTBOX_LEASE_FOR": "3",
    "OUTBOX_HEARTBEAT_EVERY": "0.5",
    "OUTBOX_SWEEP_EVERY": "0.5",
    "OUTBOX_POLL_EVERY": "0.3",
    "OUTBOX_BACKOFF_FIRST": "1",
    "OUTBOX_BACKOFF_MAX": "4",
    "OUTBOX_CIRCUIT_FIRST": "0.3",
    "OUTBOX_CIRCUIT_MAX": "1",
    "OUTBOX_SESSION_MAX_MESSAGES": "25",
    "OUTBOX_SESSION_MAX_IDLE": "1",
    "OUTBOX_COMMAND_TIMEOUT": "8",
    "OUTBOX_DOT_TIMEOUT": "8",
    "OUTBOX_SHUTDOWN_FOR": "3",
    "OUTBOX_UNDO_FOR": "0",
}
WORKERS = 3
QUICKER = {
    "OUTBOX_LEASE_FOR": "2.5",
    "OUTBOX_HEARTBEAT_EVERY": "0.3",
    "OUTBOX_SWEEP_EVERY": "0.2",
    "OUTBOX_POLL_EVERY": "0.1",
    "OUTBOX_COMMAND_TIMEOUT": "4",
    "OUTBOX_DOT_TIMEOUT": "4",
}


def main() -> None:
    """Run it all; exit with 1 on any finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--scale", choices=["short", "medium", "full"], default="full")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep logs, ledgers and kills in this folder")
    parser.add_argument("--json", type=Path, help="write the verdict to this file, too")
    options = parser.parse_args()
    began = time.monotonic()
    with scratch(options.keep) as directory:
        settings = SETTINGS | (QUICKER if options.scale == "short" else {})
        stage = Stage(directory, workers=WORKERS, settings=settings)
        try:
            stage.start_stores()
            os.environ.update(stage.environment)
            django.setup()
            # These need Django set up, which needs the database's name.
            from tests.crash.director import SCALES
            from tests.crash.run import run

            verdict = run(stage, SCALES[options.scale], seed=options.seed)
        finally:
            stage.close()
    verdict.counts["seconds"] = round(time.monotonic() - began)
    print(report(verdict))
    if options.json:
        evidence = {
            "lines": [asdict(line) for line in verdict.lines],
            "findings": verdict.findings,
            "counts": verdict.counts,
        }
        options.json.write_text(json.dumps(evidence, indent=1))
    sys.exit(1 if verdict.findings else 0)


@contextmanager
def scratch(keep: Path | None) -> Iterator[Path]:
    """Give an empty folder; without `keep` it is gone afterwards."""
    directory = (keep or Path(tempfile.mkdtemp(prefix="outbox-kills-"))).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield directory
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)


HEAD = (
    "| killed | kills | attempts under way | lost | unmarked second copies | uncertain "
    "| most by one kill, of its connections |\n|---|--:|--:|--:|--:|--:|--:|"
)


def report(verdict: "Verdict") -> str:
    """Write the verdict as Markdown: the table, the sums, the findings."""
    rows = [HEAD]
    for line in verdict.lines:
        most = f"{line.most} of {line.connections}" if line.most else "–"
        rows.append(
            f"| {line.kind} | {line.kills} | {line.under_way:,} | {line.lost} | {line.unmarked} "
            f"| {line.uncertain} | {most} |"
        )
    sums = [
        sum(getattr(line, name) for line in verdict.lines)
        for name in ("kills", "under_way", "lost", "unmarked", "uncertain")
    ]
    rows.append("| **all** | " + " | ".join(f"**{number:,}**" for number in sums) + " | |")
    facts = [f"{name}: {count:,}" for name, count in sorted(verdict.counts.items())]
    shown = [f"- {finding}" for finding in verdict.findings[:50]]
    if len(verdict.findings) > len(shown):
        shown.append(f"- and {len(verdict.findings) - len(shown)} more")
    return "\n".join([*rows, "", "; ".join(facts), "", *(shown or ["Nothing was found."])])


if __name__ == "__main__":
    main()
