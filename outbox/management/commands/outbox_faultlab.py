"""Run a scenario of the fault lab, or create one from a transcript."""

import json
import signal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox.management.output import OutboxCommand
from outbox.testing.dialogue import SMTP, shown
from outbox.testing.faultlab import FaultLab
from outbox.testing.language import Language
from outbox.testing.ledger import Line
from outbox.testing.pop3_lab import Pop3Lab
from outbox.testing.replay import TranscriptError, scenario_text
from outbox.testing.scenario import Scenario, ScenarioError, catalog, named, parse_scenario


class Command(OutboxCommand):
    """Run a scenario on a loopback port and print the dialogue."""

    help = (
        "Run a scenario of the fault lab on a loopback port and print the dialogue, until SIGINT "
        "or SIGTERM. Without a scenario, list those of the package."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scenario", nargs="?", help="a name of the list, or a file")
        parser.add_argument(
            "--pop3", action="store_true", help="a POP3 server with a mailbox of three messages"
        )
        parser.add_argument("--port", type=int, default=0, help="default: 0, a free one")
        parser.add_argument(
            "--replay",
            type=Path,
            metavar="TRANSCRIPT.json",
            help="reply like the server of this transcript: a list of [ms, source, text]",
        )
        parser.add_argument("--show", action="store_true", help="print the scenario, do not run it")

    def handle(self, *args: Any, **options: Any) -> None:
        lab = Pop3Lab if options["pop3"] else FaultLab
        scenario = _chosen(options["scenario"], options["replay"], lab.language)
        if scenario is None:
            self._list(lab.language)
        elif options["show"]:
            self.stdout.write(scenario.text, ending="")
        else:
            self._play(lab(scenario, port=options["port"]))

    def _list(self, language: Language) -> None:
        for scenario in catalog(language):
            first = scenario.text.partition("\n")[0].lstrip("# ")
            self.stdout.write(f"{scenario.name:26}{first}")

    def _play(self, lab: FaultLab) -> None:
        # Blocked in this and therefore in the lab's thread: only sigwait receives them.
        signals = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        lab.ledger.listener = self._print
        with lab:
            self.stdout.write(f"{lab.scenario.name or 'Scenario'} at {lab.host}:{lab.port}")
            self.stdout.flush()
            signal.sigwait(signals)

    def _print(self, line: Line) -> None:
        self.stdout.write(f"{line.ms:9.1f}  {line.speaker}  {shown(line.text)}")
        self.stdout.flush()


def _chosen(name: str | None, transcript: Path | None, language: Language) -> Scenario | None:
    try:
        if transcript is not None and language is not SMTP:
            raise CommandError("Only transcripts of SMTP can be replayed.")
        if transcript is not None:
            return parse_scenario(
                scenario_text(json.loads(transcript.read_text("utf-8"))), "replay"
            )
        if name is None:
            return None
        if Path(name).is_file():
            return parse_scenario(Path(name).read_text("utf-8"), Path(name).stem, language)
        return named(name, language)
    except KeyError:
        raise CommandError(
            f"There is no scenario “{name}”. Without a name, all are listed."
        ) from None
    except (OSError, json.JSONDecodeError, TranscriptError, ScenarioError) as error:
        raise CommandError(str(error)) from error
