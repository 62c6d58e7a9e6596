"""A small internet on loopback: a DNS server, and mail servers with addresses of their own."""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from django.conf import LazySettings

from outbox.models import Account, Destination, Route
from outbox.testing.dns_lab import DnsLab
from outbox.testing.faultlab import FaultLab


class DirectLab:
    """Servers by name, which all use one port, as mail servers use port 25."""

    def __init__(self, settings: LazySettings, **given: Any) -> None:
        self._settings = settings
        self._given = given
        self._records: list[str] = []
        self._rules = ""
        self._number = 1
        self.port = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.dns = stack.enter_context(DnsLab())
            self._stack = stack.pop_all()
        self._configure()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def _configure(self) -> None:
        given = {"DNS_SERVERS": [self.dns.address], "MX_PORT": self.port or 25}
        self._settings.OUTBOX = self._settings.OUTBOX | given | self._given

    def server(self, name: str, scenario: str = "") -> FaultLab:
        """Start a server at an address of its own, which the name has."""
        lab = FaultLab(scenario, host=self.address(name), port=self.port)
        self._stack.enter_context(lab)
        if not self.port:
            self.port = lab.port
            self._configure()
        return lab

    def address(self, name: str) -> str:
        """Return a new address for a name, at which nothing listens yet."""
        self._number += 1
        address = f"127.0.0.{self._number}"
        self.record(f"{name} A {address}")
        return address

    def record(self, *lines: str) -> None:
        """Add records to the DNS."""
        self._records += [f"record {line}" for line in lines]
        self._play()

    def domain(self, name: str, *servers: str) -> None:
        """Make these the servers of a domain, each as "preference name"."""
        self.record(*(f"{name} MX {server}" for server in servers))

    def fail(self, rule: str) -> None:
        """Add a fault of the DNS server."""
        self._rules += f"{rule}\n"
        self._play()

    def forget(self, name: str, kind: str) -> None:
        """Remove records of the DNS."""
        self._records = [
            one for one in self._records if not (one.split()[1] == name and f" {kind} " in one)
        ]
        self._play()

    def _play(self) -> None:
        self.dns.play(self._rules + "\n".join(self._records))


@contextlib.contextmanager
def direct_lab(settings: LazySettings, **given: Any) -> Iterator[DirectLab]:
    """Run a lab whose DNS the site asks."""
    with DirectLab(settings, **given) as lab:
        yield lab


def direct_account(**fields: Any) -> Account:
    """Create an account that delivers by MX."""
    values = {
        "name": "direct",
        "from_address": "alice@example.org",
        "route": Route.DIRECT,
        "host": "",
        "on_uncertain": "hold",
    }
    return Account.objects.create(**values | fields)


def site(account: Account, key: str) -> Destination:
    """Return the destination of an MX site."""
    found = Destination.objects.select_related("account")
    return found.get(account=account, key=f"mx:{key}")
