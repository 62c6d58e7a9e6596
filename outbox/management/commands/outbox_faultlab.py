"""Run a scenario of the fault lab by hand, or write one from a transcript."""

import json
import signal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox.management.output import OutboxCommand
from outbox.testing.dialogue import shown
from outbox.testing.faultlab import FaultLab
from outbox.testing.ledger import Line
from outbox.testing.replay import TranscriptError, scenario_text
from outbox.testing.scenario import Scenario, ScenarioError, catalogue, named, parse_scenario


class Command(OutboxCommand):
    """Play a scenario on a loopback port and print the dialogue as it goes."""

    help = (
        "Play a scenario of the fault lab on a loopback port and print the dialogue, until SIGINT "
        "or SIGTERM. Without a scenario it lists those that come with the package."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scenario", nargs="?", help="a name of the list, or a file")
        parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
        parser.add_argument(
            "--replay",
            type=Path,
            metavar="TRANSCRIPT.json",
            help="answer as the server of this transcript did: a list of [ms, who, text]",
        )
        parser.add_argument("--show", action="store_true", help="print the scenario, play nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        scenario = _chosen(options["scenario"], options["replay"])
        if scenario is None:
            self._list()
        elif options["show"]:
            self.stdout.write(scenario.text, ending="")
        else:
            self._play(scenario, options["port"])

    def _list(self) -> None:
        for scenario in catalogue():
            first = scenario.text.partition("\n")[0].lstrip("# ")
            self.stdout.write(f"{scenario.name:26}{first}")

    def _play(self, scenario: Scenario, port: int) -> None:
        # Blocked here and so in the lab's thread, too: sigwait alone hears them.
        signals = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        lab = FaultLab(scenario, port=port)
        lab.ledger.listener = self._print
        with lab:
            self.stdout.write(f"{scenario.name or 'Scenario'} at {lab.host}:{lab.port}")
            self.stdout.flush()
            signal.sigwait(signals)

    def _print(self, line: Line) -> None:
        self.stdout.write(f"{line.ms:9.1f}  {line.who}  {shown(line.text)}")
        self.stdout.flush()


def _chosen(name: str | None, transcript: Path | None) -> Scenario | None:
    try:
        if transcript is not None:
            return parse_scenario(
                scenario_text(json.loads(transcript.read_text("utf-8"))), "replay"
            )
        if name is None:
            return None
        if Path(name).is_file():
            return parse_scenario(Path(name).read_text("utf-8"), Path(name).stem)
        return named(name)
    except KeyError:
        raise CommandError(f"There is no scenario “{name}”; without one I list them.") from None
    except (OSError, json.JSONDecodeError, TranscriptError, ScenarioError) as error:
        raise CommandError(str(error)) from error
