"""The replies of a scripted SMTP server, as a test chooses them.

`{"RCPT": ["250 ok", "550 5.1.1 no"]}` has the reply to the first RCPT, to the second, and so on;
the last one is repeated. DOT is the end of the message, by DATA or by the last BDAT. Every other
command gets a correct reply. `ModelServer` uses them without a socket and `ScriptedServer` with
one, for what a scenario of the fault lab cannot express.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

Entry = TypeVar("Entry")
QUEUE_ID = "4QUEUED12"

CORRECT = {
    "GREETING": "220 far.test ESMTP",
    "HELO": "250 far.test",
    "STARTTLS": "220 2.0.0 go ahead",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go ahead",
    "DOT": f"250 2.0.0 Ok: queued as {QUEUE_ID}",
    "BDAT": "250 2.0.0 ok",
    "RSET": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class ScriptedReplies(Generic[Entry]):
    """The replies of one server; an entry is a text, or what else the server can do."""

    def __init__(self, chosen: Mapping[str, Entry | Sequence[Entry]]) -> None:
        self._chosen = chosen
        self._used: Counter[str] = Counter()

    def next(self, command: str) -> Entry | str:
        """Return the reply to the next command of this name."""
        if command not in self._chosen:
            return CORRECT.get(command, "250 ok")
        entries = self._chosen[command]
        if isinstance(entries, str) or not isinstance(entries, Sequence):
            return entries
        self._used[command] += 1
        return entries[min(self._used[command], len(entries)) - 1]
