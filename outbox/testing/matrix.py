"""Every stage × every fault that makes sense there, as scenarios: what a client must live through.

A name reads "dot/late/pipelined/third": stage, fault, how the client may speak, and whether the
fault meets the first message of the connection or the third.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outbox.testing.scenario import Scenario, parse_scenario

MODES = {
    "stepwise": "SIZE 35882577, 8BITMIME",
    "pipelined": "PIPELINING, SIZE 35882577, 8BITMIME",
    "chunking": "PIPELINING, CHUNKING, SIZE 35882577, 8BITMIME",
}

_ENDS = frozenset({"black-hole", "reset", "close"})
_WRITTEN = frozenset({"421-close", "4xx", "5xx", "garbage", "extra", "huge", "endless", "late"})
_ANSWERED = _ENDS | _WRITTEN | {"split", "drip", "missing", "wrong-class", "never-answer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A stage as the matrix knows it."""

    at: str  # as a rule writes it
    transient: str = "451 4.3.0 Try again later"
    permanent: str = "550 5.7.1 Not here"
    offers: str = ""  # what must be on offer besides
    modes: tuple[str, ...] = ("pipelined",)
    positions: tuple[str, ...] = ("first",)
    faults: frozenset[str] = _ANSWERED


_BOTH = ("first", "third")
_TLS = "STARTTLS"

PLACES: Mapping[str, _Place] = {
    "connect": _Place(at="connect", faults=_ENDS | {"refuse"}),
    "greeting": _Place(at="greeting", permanent="554 5.3.2 No mail is taken here"),
    "ehlo": _Place(at="ehlo 1", permanent="550 5.7.1 Not for you"),
    "starttls": _Place(
        at="starttls", offers=_TLS, transient="454 4.7.0 No TLS now", permanent="554 5.7.0 No TLS"
    ),
    "tls": _Place(at="tls", offers=_TLS, faults=_ENDS | {"garbage", "late"}),
    "second-ehlo": _Place(at="ehlo 2", offers=_TLS, permanent="550 5.7.1 Not for you"),
    "auth": _Place(
        at="auth",
        offers="AUTH PLAIN LOGIN",
        transient="454 4.7.0 Cannot check that now",
        permanent="535 5.7.8 Wrong name or password",
    ),
    "mail": _Place(at="mail", modes=tuple(MODES), positions=_BOTH),
    "rcpt-1": _Place(at="rcpt 1", modes=tuple(MODES), positions=_BOTH),
    "rcpt-2": _Place(at="rcpt 2", modes=tuple(MODES), positions=_BOTH),
    "data": _Place(at="data", modes=("stepwise", "pipelined"), positions=_BOTH),
    "body-start": _Place(at="body 1", modes=tuple(MODES), positions=_BOTH, faults=_ENDS | _WRITTEN),
    "body-middle": _Place(
        at="body 1000", modes=tuple(MODES), positions=_BOTH, faults=_ENDS | _WRITTEN
    ),
    "dot": _Place(at="dot", modes=("stepwise", "pipelined"), positions=_BOTH),
    "bdat": _Place(at="bdat", modes=("chunking",), positions=_BOTH),
    "rset": _Place(at="rset", modes=("stepwise", "pipelined")),
    "quit": _Place(at="quit", modes=("stepwise", "pipelined")),
    "idle": _Place(at="idle", faults=_ENDS | _WRITTEN - {"late", "4xx", "5xx"}),
}


def matrix(*, late: float = 2.0, drip: float = 0.05) -> Iterator[Scenario]:
    """Yield every scenario; `late` and `drip` are the seconds of those two faults.

    A client under test takes time-outs well below `late`; a body of 1,001 octets or more and two
    recipients meet every place. `rset` is met by a client that sends RSET.
    """
    for stage, place in PLACES.items():
        for fault in sorted(place.faults):
            for mode in place.modes:
                for position in place.positions:
                    action = _action(fault, place, late=late, drip=drip)
                    yield _scenario(stage, fault, mode, position, action)


def _scenario(stage: str, fault: str, mode: str, position: str, action: str) -> Scenario:
    place = PLACES[stage]
    offer = ", ".join(filter(None, (MODES[mode], place.offers)))
    where = f"{place.at} of message 3" if position == "third" else place.at
    text = f"offer {offer}\nat {where}: {action}\n"
    return parse_scenario(text, f"{stage}/{fault}/{mode}/{position}")


def _action(fault: str, place: _Place, *, late: float, drip: float) -> str:
    written = {
        "421-close": "421 4.3.2 Going down",
        "4xx": place.transient,
        "5xx": place.permanent,
        "late": f"late {late:g}",
        "drip": f"drip {drip:g}",
    }
    return written.get(fault, fault)
