r"""Scenarios of the fault lab: short texts that say where a mail server shall misbehave, and how.

    name mail.example.org
    offer PIPELINING, SIZE 35882577, 8BITMIME, STARTTLS
    offer after starttls PIPELINING, AUTH PLAIN LOGIN
    at rcpt 2: 550 5.1.1 no such user
    at dot of message 3: late 2 451 4.3.0 try again then close
    on connection 2+: at greeting: 421 4.3.2 try later

What no rule names, a correct server does. `action.py` has the actions, `dialogue.py` the stages.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from importlib import resources
from typing import Self

from outbox.testing.action import Action, ActionError, Manner, parse_action
from outbox.testing.certificates import Certificate
from outbox.testing.dialogue import Stage
from outbox.testing.offer import EXTENSIONS, Offer

_KEYWORDS = frozenset(
    {
        *("8BITMIME", "AUTH", "BINARYMIME", "CHUNKING", "DELIVERBY", "DSN", "ENHANCEDSTATUSCODES"),
        *("ETRN", "HELP", "LIMITS", "MT-PRIORITY", "PIPELINING", "REQUIRETLS", "SIZE", "SMTPUTF8"),
        *("STARTTLS", "VRFY"),
    }
)
_RULE = re.compile(
    r"(?:on connection (?P<connection>[\d+-]+):? )?"
    r"at (?P<stage>[a-z]+)(?: (?P<index>[\d+-]+))?(?: <(?P<address>[^>]*)>)?"
    r"(?: of message (?P<message>[\d+-]+))?(?: on try (?P<attempt>[\d+-]+))?"
    r": *(?P<action>.+)"
)
_SPAN = re.compile(r"([1-9]\d*)(?:(\+)|-(\d+))?")


class ScenarioError(ValueError):
    """A line of a scenario that says nothing we know; the text names the line."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one number to another, both included; no end means for ever."""

    first: int = 1
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "3", "3+" or "2-4"."""
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ScenarioError(f"“{text}” is none of 3, 3+ or 2-4")
        first = int(found[1])
        return cls(first, None if found[2] else int(found[3] or first))

    def __contains__(self, number: int) -> bool:
        return self.first <= number and (self.last is None or number <= self.last)


ALWAYS = Span(0)
_COUNTED = frozenset({Stage.EHLO, Stage.AUTH, Stage.RCPT, Stage.BODY, Stage.BDAT})
_AT_CONNECT = frozenset(
    Action(manner=manner)
    for manner in (Manner.REFUSE, Manner.BLACK_HOLE, Manner.CLOSE, Manner.RESET)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """One moment at which the server is about to answer."""

    stage: Stage
    index: int = 1
    connection: int = 1
    message: int = 0  # 0 before the first MAIL
    address: str = ""  # that MAIL or RCPT names
    attempt: int = 1  # how often the recipient was named so far, this time included


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Where one action applies."""

    stage: Stage
    action: Action
    index: Span = ALWAYS
    connection: Span = ALWAYS
    message: Span = ALWAYS
    attempt: Span = ALWAYS
    address: str = ""  # with * and ?; "" for any

    def applies(self, occasion: Occasion) -> bool:
        """Tell whether this is the moment; in a body, whether it has come by now."""
        if self.stage is Stage.BODY:
            there = occasion.index >= self.index.first
        else:
            there = occasion.index in self.index
        return (
            there
            and occasion.stage is self.stage
            and occasion.connection in self.connection
            and occasion.message in self.message
            and occasion.attempt in self.attempt
            and fnmatchcase(occasion.address.lower(), self.address.lower() or "*")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A server's terms and its faults; the first rule that applies counts."""

    name: str = ""
    text: str = ""  # as written
    offer: Offer = field(default_factory=Offer)
    certificate: Certificate = Certificate.GOOD
    tls_at_once: bool = False  # as on port 465
    rules: tuple[Rule, ...] = ()

    def action_at(self, occasion: Occasion) -> Action | None:
        """Return what to do in place of the right thing; None where that is to be done."""
        return next((rule.action for rule in self.rules if rule.applies(occasion)), None)

    def offers(self, keyword: str) -> bool:
        """Tell whether EHLO lists a keyword, before TLS or under it."""
        return any(self.offer.has(keyword, under_tls=under_tls) for under_tls in (False, True))


def parse_scenario(text: str, name: str = "") -> Scenario:
    """Read a scenario; raises ScenarioError with the number of the line that makes no sense."""
    scenario = Scenario(name=name, text=text, offer=Offer(extensions=()))
    offered = False
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        offered = offered or line.startswith("offer ")
        try:
            scenario = _read_line(scenario, line)
        except (ScenarioError, ActionError) as error:
            raise ScenarioError(f"{name or 'scenario'}, line {number}: {error}") from error
    if not offered:
        scenario = replace(scenario, offer=replace(scenario.offer, extensions=EXTENSIONS))
    return scenario


def _read_line(scenario: Scenario, line: str) -> Scenario:
    for beginning, read in _LINES.items():
        if line == beginning.strip() or line.startswith(beginning):
            return read(scenario, line[len(beginning) :].strip())
    return _read_rule(scenario, line)


def _read_name(scenario: Scenario, rest: str) -> Scenario:
    return replace(scenario, offer=replace(scenario.offer, name=rest))


def _read_offer(scenario: Scenario, rest: str) -> Scenario:
    extensions = scenario.offer.extensions + _extensions(rest)
    return replace(scenario, offer=replace(scenario.offer, extensions=extensions))


def _read_offer_under_tls(scenario: Scenario, rest: str) -> Scenario:
    extensions = (scenario.offer.extensions_under_tls or ()) + _extensions(rest)
    return replace(scenario, offer=replace(scenario.offer, extensions_under_tls=extensions))


def _read_login(scenario: Scenario, rest: str) -> Scenario:
    user, _, password = rest.partition(" ")
    if not password:
        raise ScenarioError("login needs a user and a password")
    offer = replace(scenario.offer, login=(user, password), login_required=True)
    return replace(scenario, offer=offer)


def _read_certificate(scenario: Scenario, rest: str) -> Scenario:
    try:
        return replace(scenario, certificate=Certificate(rest))
    except ValueError:
        kinds = ", ".join(Certificate)
        raise ScenarioError(f"there is no certificate “{rest}”, only {kinds}") from None


def _read_tls_at_once(scenario: Scenario, rest: str) -> Scenario:
    return replace(scenario, tls_at_once=True)


def _read_rule(scenario: Scenario, line: str) -> Scenario:
    found = _RULE.fullmatch(line)
    if found is None:
        raise ScenarioError(f"I do not understand “{line}”")
    try:
        stage = Stage(found["stage"])
    except ValueError:
        stages = ", ".join(Stage)
        raise ScenarioError(f"there is no stage “{found['stage']}”, only {stages}") from None
    spans = {
        name: Span.parse(found[name]) if found[name] else ALWAYS
        for name in ("index", "connection", "message", "attempt")
    }
    action = parse_action(found["action"])
    rule = Rule(stage=stage, action=action, address=found["address"] or "", **spans)
    if said := _contradiction(rule):
        raise ScenarioError(said)
    return replace(scenario, rules=(*scenario.rules, rule))


def _contradiction(rule: Rule) -> str:
    """Say why a rule can never do what it says; "" where it can."""
    if rule.index != ALWAYS and rule.stage not in _COUNTED:
        return f"{rule.stage} has no number"
    if rule.address and rule.stage not in {Stage.MAIL, Stage.RCPT}:
        return f"{rule.stage} names no address"
    if rule.attempt != ALWAYS and rule.stage is not Stage.RCPT:
        return "only rcpt counts tries"
    if rule.stage is Stage.CONNECT and rule.action not in _AT_CONNECT:
        return "at connect there is refuse, black-hole, close and reset"
    if rule.stage is not Stage.CONNECT and rule.action.manner is Manner.REFUSE:
        return "only a connection can be refused"
    return ""


_LINES: dict[str, Callable[[Scenario, str], Scenario]] = {
    "name ": _read_name,
    "offer after starttls ": _read_offer_under_tls,
    "offer ": _read_offer,
    "login ": _read_login,
    "certificate ": _read_certificate,
    "tls at once ": _read_tls_at_once,
}


def _extensions(text: str) -> tuple[str, ...]:
    """Part "PIPELINING SIZE 1000 8BITMIME" where a keyword begins; commas part what we do not know.

    "nothing" stands for an EHLO reply without extensions.
    """
    if text == "nothing":
        return ()
    found: list[str] = []
    for piece in text.split(","):
        for position, word in enumerate(piece.split()):
            if position and word.upper() not in _KEYWORDS:
                found[-1] += f" {word}"
            else:
                found.append(word)
    return tuple(found)


def catalogue() -> list[Scenario]:
    """Return the scenarios that come with the package, by name."""
    folder = resources.files("outbox.testing") / "scenarios"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".scn")),
        key=lambda file: file.name,
    )
    return [
        parse_scenario(file.read_text("utf-8"), file.name.removesuffix(".scn")) for file in files
    ]


def named(name: str) -> Scenario:
    """Return a scenario of the catalogue; KeyError for one that is not there."""
    return {scenario.name: scenario for scenario in catalogue()}[name]
