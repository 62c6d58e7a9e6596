"""Kill each process while messages are delivered, and compare the result with the sinks' records.

    python -m tests.crash [--scale short|medium|full] [--seed 1] [--keep DIRECTORY] [--json FILE]

Starts PostgreSQL with its default durability, Redis, two sinks, Celery workers, beat and the web
server. Kills them at random and at every point of `points` while messages are queued, cancelled and
composed. Then it drains the queue, resolves uncertain recipients as a person would, and judges. It
prints a table, and exits with 1 when it has a finding.
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

from tests.crash.cluster import Cluster

if TYPE_CHECKING:
    from tests.crash.judge import Verdict

SETTINGS = {
    "OUTBOX_LEASE_DURATION": "3",
    "OUTBOX_HEARTBEAT_INTERVAL": "0.5",
    "OUTBOX_SWEEP_INTERVAL": "0.5",
    "OUTBOX_POLL_INTERVAL": "0.3",
    "OUTBOX_BACKOFF_INITIAL": "1",
    "OUTBOX_BACKOFF_MAX": "4",
    "OUTBOX_CIRCUIT_PAUSE_INITIAL": "0.3",
    "OUTBOX_CIRCUIT_PAUSE_MAX": "1",
    "OUTBOX_SESSION_MAX_MESSAGES": "25",
    "OUTBOX_SESSION_MAX_IDLE": "1",
    "OUTBOX_COMMAND_TIMEOUT": "8",
    "OUTBOX_DOT_TIMEOUT": "8",
    "OUTBOX_SHUTDOWN_TIMEOUT": "3",
    "OUTBOX_UNDO_PERIOD": "0",
    "OUTBOX_MAX_MESSAGES_PER_HOUR": "1000000",
    "OUTBOX_MAX_DRAFTS": "1000000",
}
WORKERS = 3
SHORTER = {  # for a short run
    "OUTBOX_LEASE_DURATION": "2.5",
    "OUTBOX_HEARTBEAT_INTERVAL": "0.3",
    "OUTBOX_SWEEP_INTERVAL": "0.2",
    "OUTBOX_POLL_INTERVAL": "0.1",
    "OUTBOX_COMMAND_TIMEOUT": "4",
    "OUTBOX_DOT_TIMEOUT": "4",
}


def main() -> None:
    """Run the crash tests; exit with 1 on any finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--scale", choices=["short", "medium", "full"], default="full")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep logs, ledgers and kills in this folder")
    parser.add_argument("--json", type=Path, help="write the verdict to this file, too")
    options = parser.parse_args()
    began = time.monotonic()
    with scratch(options.keep) as directory:
        settings = SETTINGS | (SHORTER if options.scale == "short" else {})
        cluster = Cluster(directory, workers=WORKERS, settings=settings)
        try:
            cluster.start_stores()
            os.environ.update(cluster.environment)
            django.setup()
            # These need Django, which needs the database's name.
            from tests.crash.run import run
            from tests.crash.scheduler import SCALES

            verdict = run(cluster, SCALES[options.scale], seed=options.seed)
        finally:
            cluster.close()
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
    """Return an empty folder; without `keep` it is deleted at the end."""
    directory = (keep or Path(tempfile.mkdtemp(prefix="outbox-kills-"))).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield directory
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)


HEAD = (
    "| kill | times | open attempts | lost | silent duplicates | uncertain "
    "| most per kill, of its connections |\n|---|--:|--:|--:|--:|--:|--:|"
)


def report(verdict: "Verdict") -> str:
    """Return the verdict as Markdown: the table, the sums, the findings."""
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
    return "\n".join([*rows, "", "; ".join(facts), "", *(shown or ["No findings."])])


if __name__ == "__main__":
    main()
