"""A reader who follows a page to the letter: every block of it, in order, in real terminals.

A shell block runs in a shell that goes on where the block before it ended. A command that serves
until it is stopped gets a further terminal. A Python block whose first line names a file is put
there; any other runs in the project's shell.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from dev.processes import Process
from dev.sockets import free_port, is_free
from tests.unit.docs.blocks import Block, blocks

_FILE = re.compile(r"# (\S+\.py)(, at the end)?\n")
_EXPECTED = re.compile(r"#\s*→\s*(.*)$")
_SERVES = re.compile(
    r"celery .* (worker|beat)$|manage\.py (outbox_mailserver|outbox_deliver|runserver)$"
)
_PORT_OPTIONS = {2525: ("outbox_mailserver", "--port {}"), 8000: ("runserver", "127.0.0.1:{}")}


class Reader:
    """Follows a page in a directory; `outputs` keeps what each block printed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.outputs: list[tuple[Block, str]] = []
        self.processes: dict[str, Process] = {}
        # The ports of the page, unless another program has them at present.
        self.ports = {port: port if is_free(port) else free_port() for port in _PORT_OPTIONS}
        self._state = folder / "shell-state"
        self._state.write_text(f"cd {folder}\n")

    def follow(self, page: Path, before: Callable[[Block], None]) -> None:
        """Do what the page says; `before` is called before each block, to wait as a reader does."""
        for block in blocks(page):
            before(block)
            if block.language == "sh":
                self.outputs.append((block, self._type_in(block)))
            else:
                assert block.language == "python", block
                self._use(block)

    def _type_in(self, block: Block) -> str:
        serving = [line for line in block.text.splitlines() if _SERVES.search(line)]
        for line in serving:
            self._serve(line)
        rest = [line for line in block.text.splitlines() if line not in serving]
        return self._run("\n".join(map(self._with_ports, rest)))

    def _run(self, script: str) -> str:
        """Run a script where the last one ended; return what it prints. Fails where it fails."""
        new = f"{self._state}.new"  # moved into place, since a terminal may be reading the old one
        ending = f'{{ declare -px; echo "cd \\"$PWD\\""; }} > {new}; mv {new} {self._state}'
        done = subprocess.run(
            ["bash", "-c", f". {self._state}\nset -e\n{script}\n{ending}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    def _serve(self, line: str) -> None:
        for port, (command, option) in _PORT_OPTIONS.items():
            if command in line and self.ports[port] != port:
                line = f"{line} {option.format(self.ports[port])}"
        log = self.folder / f"terminal-{len(self.processes)}.log"
        with log.open("wb") as output:
            self.processes[line] = Process(
                ["bash", "-c", f". {self._state}; exec {line}"],
                environment=self.environment,
                output=output,
                cwd=self.folder,
            )

    def _with_ports(self, line: str) -> str:
        for port, present in self.ports.items():
            line = re.sub(rf"\b{port}\b", str(present), line)
        return line

    def _use(self, block: Block) -> None:
        """Write a block of Python to its file, or run it in the project's shell."""
        if found := _FILE.match(block.text):
            where = Path(self._run("pwd").strip()) / found[1]
            before = where.read_text() if found[2] else ""
            where.write_text(before + block.text)
            return
        code = self.folder / "typed.py"
        code.write_text("\n".join(_asserting(block)))
        self.outputs.append((block, self._run(f"python manage.py shell -v 0 < {code}")))

    def stop(self) -> None:
        """Stop what still serves, the last first."""
        for process in reversed(self.processes.values()):
            process.stop(grace_for=30)


def _asserting(block: Block) -> Iterator[str]:
    """Yield the statements of a block; the value of an expression follows “# →”."""
    lines = block.text.splitlines()
    for statement in ast.parse(block.text).body:
        source = ast.unparse(statement)
        expected = _EXPECTED.search(lines[(statement.end_lineno or 0) - 1])
        if expected:
            yield f"assert str({source}) == {expected[1]!r}, {source}"
        else:
            yield source
