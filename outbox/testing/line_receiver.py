"""What the servers of SMTP and POP3 share: lines of commands, a login of several steps, TLS."""

from collections.abc import Callable

from outbox.testing import logins
from outbox.testing.capabilities import Capabilities
from outbox.testing.channel import MAX_LINE, Channel


class LineReceiver(Channel):
    """The side of a server whose client sends lines; subclasses have the commands."""

    def __init__(self, capabilities: Capabilities) -> None:
        super().__init__()
        self.capabilities = capabilities
        self.user = ""  # "" before the login
        self._exchange: logins.Exchange | None = None
        self._steps = 0  # of the exchange
        self._reader: Callable[[], bool] = self._read_command

    def _read(self) -> bool:
        return self._reader()

    def _next_line(self) -> str | None:
        line = self._line()
        if line is None and len(self._buffer) > MAX_LINE:
            self._buffer.clear()
            self._reject_line()
        if line is not None:
            self.line_received(line)
        return line

    def _read_login(self) -> bool:
        line = self._next_line()
        if line is None:
            return False
        self._steps += 1
        self._continue_login(line)
        return True

    def _start_tls(self) -> None:
        assert self.capabilities.tls is not None
        if self.tls_begins():
            self.start_tls(self.capabilities.tls)

    # Defined by the server of a protocol

    def _read_command(self) -> bool:
        """Read a line and execute its command; return False if it is not complete."""
        raise NotImplementedError

    def _reject_line(self) -> None:
        """Respond to a line that is too long."""
        raise NotImplementedError

    def _continue_login(self, response: str | None) -> None:
        """Respond to a line of the exchange; None: the client sent no initial response."""
        raise NotImplementedError

    # Used by subclasses

    def offers(self, keyword: str, parameter: str = "") -> bool:
        """Return whether a capability was announced (and, if given, with a parameter)."""
        return self.capabilities.has(keyword, parameter, under_tls=self.under_tls)

    # Overridden by subclasses

    def opened(self) -> None:
        """Handle a new connection, before the greeting."""

    def line_received(self, line: str) -> None:
        """Handle a line of the client, before the command is executed."""

    def tls_begins(self) -> bool:
        """Return whether to begin the handshake."""
        return True

    def closed(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
