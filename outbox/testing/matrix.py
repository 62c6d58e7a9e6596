"""Every stage × every fault that makes sense there, as scenarios that a client must survive.

A name reads "dot/late/pipelined/third": stage, fault, transfer mode, and whether the fault occurs
in the first message of the connection or the third.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outbox.testing.dialogue import SMTP
from outbox.testing.language import Language
from outbox.testing.scenario import Scenario, parse_scenario

MODES = {
    "stepwise": "SIZE 35882577, 8BITMIME",
    "pipelined": "PIPELINING, SIZE 35882577, 8BITMIME",
    "chunking": "PIPELINING, CHUNKING, SIZE 35882577, 8BITMIME",
}

ENDS = frozenset({"black-hole", "reset", "close"})
WRITTEN = frozenset({"421-close", "4xx", "5xx", "garbage", "extra", "huge", "endless", "late"})
AT_REPLIES = ENDS | WRITTEN | {"split", "drip", "missing", "wrong-class", "no-reply"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A stage of the matrix."""

    at: str  # as a rule writes it
    transient: str = "451 4.3.0 Try again later"
    permanent: str = "550 5.7.1 Not here"
    closing: str = "421 4.3.2 Going down"
    extensions: str = ""  # that the server announces as well
    modes: tuple[str, ...] = ("pipelined",)
    positions: tuple[str, ...] = ("first",)
    faults: frozenset[str] = AT_REPLIES


_BOTH = ("first", "third")
_TLS = "STARTTLS"

PLACES: Mapping[str, Place] = {
    "connect": Place(at="connect", faults=ENDS | {"refuse"}),
    "greeting": Place(at="greeting", permanent="554 5.3.2 No service here"),
    "ehlo": Place(at="ehlo 1", permanent="550 5.7.1 Not for you"),
    "starttls": Place(
        at="starttls",
        extensions=_TLS,
        transient="454 4.7.0 No TLS now",
        permanent="554 5.7.0 No TLS",
    ),
    "tls": Place(at="tls", extensions=_TLS, faults=ENDS | {"garbage", "late"}),
    "second-ehlo": Place(at="ehlo 2", extensions=_TLS, permanent="550 5.7.1 Not for you"),
    "auth": Place(
        at="auth",
        extensions="AUTH PLAIN LOGIN",
        transient="454 4.7.0 Cannot check that now",
        permanent="535 5.7.8 Wrong name or password",
    ),
    "mail": Place(at="mail", modes=tuple(MODES), positions=_BOTH),
    "rcpt-1": Place(at="rcpt 1", modes=tuple(MODES), positions=_BOTH),
    "rcpt-2": Place(at="rcpt 2", modes=tuple(MODES), positions=_BOTH),
    "data": Place(at="data", modes=("stepwise", "pipelined"), positions=_BOTH),
    "body-start": Place(at="body 1", modes=tuple(MODES), positions=_BOTH, faults=ENDS | WRITTEN),
    "body-middle": Place(
        at="body 1000", modes=tuple(MODES), positions=_BOTH, faults=ENDS | WRITTEN
    ),
    "dot": Place(at="dot", modes=("stepwise", "pipelined"), positions=_BOTH),
    "bdat": Place(at="bdat", modes=("chunking",), positions=_BOTH),
    "rset": Place(at="rset", modes=("stepwise", "pipelined")),
    "quit": Place(at="quit", modes=("stepwise", "pipelined")),
    "idle": Place(at="idle", faults=ENDS | WRITTEN - {"late", "4xx", "5xx"}),
}


def matrix(*, late: float = 2.0, drip: float = 0.05) -> Iterator[Scenario]:
    """Yield every scenario; `late` and `drip` are the seconds of those two faults.

    A client under test needs timeouts well below `late`, messages of at least 1,001 octets with two
    recipients, and, for `rset`, a transaction that ends with RSET.
    """
    return scenarios_of(PLACES, MODES, SMTP, late=late, drip=drip)


def scenarios_of(
    places: Mapping[str, Place],
    modes: Mapping[str, str],
    language: Language,
    *,
    late: float,
    drip: float,
) -> Iterator[Scenario]:
    """Yield each place with each of its faults, modes and positions."""
    for stage, place in places.items():
        for fault in sorted(place.faults):
            for mode in place.modes:
                for position in place.positions:
                    action = _action(fault, place, late=late, drip=drip)
                    extensions = ", ".join(filter(None, (modes[mode], place.extensions)))
                    where = f"{place.at} of message 3" if position == "third" else place.at
                    text = f"offer {extensions}\nat {where}: {action}\n"
                    name = f"{stage}/{fault}/{mode}/{position}"
                    yield parse_scenario(text, name, language)


def _action(fault: str, place: Place, *, late: float, drip: float) -> str:
    written = {
        "421-close": place.closing,
        "4xx": place.transient,
        "5xx": place.permanent,
        "late": f"late {late:g}",
        "drip": f"drip {drip:g}",
    }
    return written.get(fault, fault)
