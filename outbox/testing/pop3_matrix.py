"""Every stage of POP3 × every fault that makes sense there, as scenarios a client must survive.

A name reads "retr-2/late/pipelined/first": stage, fault and transfer mode.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from outbox.testing.matrix import AT_REPLIES, ENDS, Place, scenarios_of
from outbox.testing.pop3_dialogue import POP3
from outbox.testing.scenario import Scenario

MODES = {"stepwise": "UIDL, USER, TOP", "pipelined": "UIDL, USER, TOP, PIPELINING"}
_BOTH = tuple(MODES)
# No client can distinguish inserted lines from those of the message.
_IN_BODY = ENDS | {"421-close", "late", "endless"}


_ONE_LINE = AT_REPLIES - {"endless"}  # a +OK with more lines after it is the fault "extra"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place(Place):
    """A stage of the matrix, with the replies of POP3."""

    transient: str = "-ERR [SYS/TEMP] Try again later"
    permanent: str = "-ERR Not here"
    closing: str = "-ERR [SYS/TEMP] Going down then close"
    faults: frozenset[str] = _ONE_LINE


_LOGIN = _Place(at="", permanent="-ERR [AUTH] Wrong name or password")

PLACES: Mapping[str, Place] = {
    "connect": _Place(at="connect", faults=ENDS | {"refuse"}),
    "greeting": _Place(at="greeting", permanent="-ERR [SYS/PERM] No service here"),
    "capa": _Place(at="capa 1", faults=AT_REPLIES),
    "stls": _Place(at="stls", extensions="STLS"),
    "tls": _Place(at="tls", extensions="STLS", faults=ENDS | {"garbage", "late"}),
    "capa-in-tls": _Place(at="capa 2", extensions="STLS", faults=AT_REPLIES),
    "user": replace(_LOGIN, at="user"),
    "pass": replace(_LOGIN, at="pass"),
    "auth": replace(_LOGIN, at="auth 1", extensions="SASL PLAIN"),
    "auth-response": replace(_LOGIN, at="auth 2", extensions="SASL PLAIN"),
    "capa-after-login": _Place(at="capa 2", faults=AT_REPLIES),
    "list": _Place(at="list", modes=_BOTH, faults=AT_REPLIES),
    "uidl": _Place(at="uidl", modes=_BOTH, faults=AT_REPLIES),
    "uid": _Place(at="uid 3", modes=_BOTH),
    "retr-1": _Place(at="retr 1", modes=_BOTH, faults=AT_REPLIES),
    "retr-2": _Place(at="retr 2", modes=_BOTH, faults=AT_REPLIES),
    "retr-3": _Place(at="retr 3", modes=_BOTH, faults=AT_REPLIES),
    "body-start": _Place(at="body 1 of message 2", modes=_BOTH, faults=_IN_BODY),
    "body-middle": _Place(at="body 500 of message 2", modes=_BOTH, faults=_IN_BODY),
    "dele": _Place(at="dele 2", modes=_BOTH),
    "quit": _Place(at="quit", modes=_BOTH),
}


def pop3_matrix(*, late: float = 2.0, drip: float = 0.05) -> Iterator[Scenario]:
    """Yield every scenario; `late` and `drip` are the seconds of those two faults.

    A client under test needs timeouts well below `late`, and a mailbox of three messages of at
    least 501 octets, all of which it retrieves and deletes.
    """
    return scenarios_of(PLACES, MODES, POP3, late=late, drip=drip)
