"""Check the DNS records of a domain that messages are sent from."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox import api
from outbox.mail.dkim_keys import quoted_strings
from outbox.management.output import OutboxCommand
from outbox.net.sender_domain import Finding, Level, Record

_EXIT_CODES = {Level.OK: 0, Level.WARNING: 1, Level.ERROR: 2, Level.UNKNOWN: 3}


class Command(OutboxCommand):
    help = (
        "Check SPF, DKIM, DMARC, alignment and MX of a domain, and of each sending address whether "
        "SPF allows it, its name and blocklists. Print what is wrong and which records to publish. "
        "Exit with 0 if all is well, 1 for a warning, 2 for an error and 3 if the DNS did not "
        "respond."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("domain", help="of the senders' addresses")
        parser.add_argument(
            "--ip",
            action="append",
            default=[],
            metavar="ADDRESS",
            help="an address that sends for the domain; can be repeated (default: those in the "
            "setting SENDING_ADDRESSES)",
        )
        parser.add_argument(
            "--port-25",
            default="",
            metavar="SERVER",
            help="check whether this server is reachable on port 25 (default: that in the "
            "setting PORT_25_SERVER)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = api.check_domain(
                options["domain"], options["ip"], port_25_server=options["port_25"]
            )
        except ValueError as error:  # a name, an address or a DNS server
            raise CommandError(str(error)) from error
        if options["json"]:
            found = [_facts(finding) for finding in report.findings]
            facts = {"domain": report.domain, "level": report.level, "findings": found}
            self.stdout.write(json.dumps(facts, indent=2, ensure_ascii=False))
        else:
            for finding in report.findings:
                for line in _lines(finding):
                    self.stdout.write(line)
        if report.level != Level.OK:
            sys.exit(_EXIT_CODES[report.level])


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.level.upper():<8}{finding.check:<7}{finding.in_words()}"
    if finding.publish:
        record = finding.publish
        yield f"{'':15}{record.name}. IN {record.type} {_zone_text(record)}"


def _zone_text(record: Record) -> str:
    return quoted_strings(record.text) if record.type == "TXT" else record.text


def _facts(finding: Finding) -> dict[str, Any]:
    publish = finding.publish
    return {
        "check": finding.check,
        "level": finding.level,
        "text": finding.in_words(),
        "publish": publish and {"name": publish.name, "type": publish.type, "text": publish.text},
    }
