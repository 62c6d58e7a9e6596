"""Print what message files are: bounces, auto-replies, complaints, receipts, or none of these."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox.inbound.inspect import inspect
from outbox.inbound.inspection import Inspection, RecipientReport
from outbox.management.output import OutboxCommand
from outbox.reply_rules import rules_in_force
from outbox.texts import cause_of

MAX_FILE = 100_000_000  # bytes of a file that are read
_STANDARD_INPUT = "-"
_FOR_MATCHING = frozenset({"return_tokens", "queue_ids", "references"})  # not about recipients


class Command(OutboxCommand):
    help = (
        "Print what message files are: message, bounce, delay, auto-reply, complaint or receipt; "
        "and what they say about each recipient of an earlier message. Nothing is stored."
    )
    requires_system_checks = ()  # it needs no database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "files", nargs="+", metavar="FILE", help="a message file; - for standard input"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per line")

    def handle(self, *args: Any, **options: Any) -> None:
        rules = rules_in_force()
        unreadable = 0
        for name in options["files"]:
            try:
                source = _read(name)
            except OSError as error:
                unreadable += 1
                self.stderr.write(f"{name}: {cause_of(error)}")
                continue
            found = inspect(source, rules)
            if options["json"]:
                self.stdout.write(json.dumps(_as_dict(name, found), ensure_ascii=False))
            else:
                for line in _lines(name, found):
                    self.stdout.write(line)
        if unreadable:
            noun = "file" if unreadable == 1 else "files"
            raise CommandError(f"{unreadable} {noun} could not be read.")


def _read(name: str) -> bytes:
    """Return the beginning of a file, or of the standard input. Raise OSError."""
    if name == _STANDARD_INPUT:
        return sys.stdin.buffer.read(MAX_FILE)
    with Path(name).open("rb") as file:
        return file.read(MAX_FILE)


def _as_dict(name: str, found: Inspection) -> dict[str, Any]:
    recipients = [
        asdict(one)
        | {"bounce_type": one.bounce_type, "original_message_id": found.original_message_id}
        for one in found.recipients
    ]
    facts = {key: value for key, value in asdict(found).items() if key not in _FOR_MATCHING}
    return {"file": name, **facts, "recipients": recipients}


def _lines(name: str, found: Inspection) -> Iterator[str]:
    sign = f" ({found.sign})" if found.sign else ""
    yield f"{name}: {found.kind}{sign}"
    if found.original_message_id:
        yield f"  original Message-ID: {found.original_message_id}"
    if found.envelope_id:
        yield f"  envelope id: {found.envelope_id}"
    for one in found.recipients:
        yield f"  {' '.join(filter(None, _words(one)))}"
        if one.reason:
            yield f"    {one.reason}"


def _words(one: RecipientReport) -> Iterator[str]:
    yield f"{one.address}:" if one.action else one.address
    yield one.action
    yield one.status
    yield one.bounce_type
    if one.final_recipient:
        yield f"(delivered as {one.final_recipient})"
    if one.effect is not None:
        yield f"[{one.rule or 'no rule'}]"
