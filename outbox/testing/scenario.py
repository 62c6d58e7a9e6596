r"""Scenarios of the fault lab: short texts that say where a mail server misbehaves, and how.

    name mail.example.org
    offer PIPELINING, SIZE 35882577, 8BITMIME, STARTTLS
    offer after starttls PIPELINING, AUTH PLAIN LOGIN
    reject SIZE: 555 5.5.4 Unsupported option
    at rcpt 2: 550 5.1.1 no such user
    at dot of message 3: late 2 451 4.3.0 try again then close
    on connection 2+: at greeting: 421 4.3.2 try later

Without a rule the server behaves correctly. `action.py` has the actions, `dialogue.py` the stages.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from importlib import resources
from typing import Self

from outbox.testing.action import Action, ActionError, Misbehavior, parse_action
from outbox.testing.capabilities import Capabilities
from outbox.testing.certificates import Certificate
from outbox.testing.dialogue import SMTP, Stage
from outbox.testing.language import Language

_RULE = re.compile(
    r"(?:on connection (?P<connection>[\d+-]+):? )?"
    r"at (?P<stage>[a-z0-9]+)(?: (?P<index>[\d+-]+))?(?: <(?P<address>[^>]*)>)?"
    r"(?: of message (?P<message>[\d+-]+))?(?: on try (?P<attempt>[\d+-]+))?"
    r": *(?P<action>.+)"
)
_SPAN = re.compile(r"([1-9]\d*)(?:(\+)|-(\d+))?")


class ScenarioError(ValueError):
    """A line of a scenario is invalid; the message names the line."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of numbers, both ends included; None as the end means no limit."""

    first: int = 1
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse "3", "3+" or "2-4"."""
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ScenarioError(f"“{text}” is not a number or range, such as 3, 3+ or 2-4")
        first = int(found[1])
        return cls(first, None if found[2] else int(found[3] or first))

    def __contains__(self, number: int) -> bool:
        return self.first <= number and (self.last is None or number <= self.last)


ALWAYS = Span(0)
_AT_CONNECT = frozenset(
    Action(kind=misbehavior)
    for misbehavior in (
        Misbehavior.REFUSE,
        Misbehavior.BLACK_HOLE,
        Misbehavior.CLOSE,
        Misbehavior.RESET,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """One moment at which the server is about to reply."""

    stage: StrEnum
    index: int = 1
    connection: int = 1
    message: int = 0  # 0 before the first MAIL
    address: str = ""  # in MAIL or RCPT
    attempt: int = 1  # RCPT commands for the recipient so far, including this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When an action applies."""

    stage: StrEnum
    action: Action
    index: Span = ALWAYS
    connection: Span = ALWAYS
    message: Span = ALWAYS
    attempt: Span = ALWAYS
    address: str = ""  # with * and ?; "" for any

    def applies(self, occasion: Occasion) -> bool:
        """Return whether the rule applies; in a body, whether its octet has arrived."""
        if self.stage == Stage.BODY:
            is_reached = occasion.index >= self.index.first
        else:
            is_reached = occasion.index in self.index
        return (
            is_reached
            and occasion.stage == self.stage
            and occasion.connection in self.connection
            and occasion.message in self.message
            and occasion.attempt in self.attempt
            and fnmatchcase(occasion.address.lower(), self.address.lower() or "*")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A server's capabilities and misbehaviors; the first rule that applies counts."""

    name: str = ""
    text: str = ""  # as written
    language: Language = SMTP
    capabilities: Capabilities = field(default_factory=Capabilities)
    certificate: Certificate = Certificate.GOOD
    tls_at_once: bool = False  # as on port 465
    rules: tuple[Rule, ...] = ()

    def rule_at(self, occasion: Occasion) -> Rule | None:
        """Return the first rule that applies; None for correct behavior."""
        return next((rule for rule in self.rules if rule.applies(occasion)), None)

    def action_at(self, occasion: Occasion) -> Action | None:
        """Return the action instead of the correct reply; None for correct behavior."""
        rule = self.rule_at(occasion)
        return rule.action if rule else None

    def offers(self, keyword: str) -> bool:
        """Return whether EHLO announces a keyword, before or under TLS."""
        return any(
            self.capabilities.has(keyword, under_tls=under_tls) for under_tls in (False, True)
        )


def parse_scenario(text: str, name: str = "", language: Language = SMTP) -> Scenario:
    """Parse a scenario. Raises ScenarioError with the number of the invalid line."""
    scenario = Scenario(
        name=name, text=text, language=language, capabilities=Capabilities(extensions=())
    )
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
        scenario = replace(
            scenario,
            capabilities=replace(scenario.capabilities, extensions=language.capabilities),
        )
    return scenario


def _read_line(scenario: Scenario, line: str) -> Scenario:
    for beginning, read in _LINES.items():
        if line == beginning.strip() or line.startswith(beginning):
            return read(scenario, line[len(beginning) :].strip())
    return _read_rule(scenario, line)


def _read_name(scenario: Scenario, rest: str) -> Scenario:
    return replace(scenario, capabilities=replace(scenario.capabilities, name=rest))


def _read_capabilities(scenario: Scenario, rest: str) -> Scenario:
    extensions = scenario.capabilities.extensions + _extensions(rest, scenario.language.keywords)
    return replace(scenario, capabilities=replace(scenario.capabilities, extensions=extensions))


def _read_capabilities_under_tls(scenario: Scenario, rest: str) -> Scenario:
    extensions = (scenario.capabilities.extensions_under_tls or ()) + _extensions(
        rest, scenario.language.keywords
    )
    return replace(
        scenario, capabilities=replace(scenario.capabilities, extensions_under_tls=extensions)
    )


def _read_rejected(scenario: Scenario, rest: str) -> Scenario:
    keyword, colon, reply = (part.strip() for part in rest.partition(":"))
    keyword = keyword.upper()
    rejectable = scenario.language.rejectable
    if not colon or not (keyword in rejectable or keyword.startswith("AUTH ")):
        names = ", ".join([*sorted(rejectable), "AUTH with a mechanism"])
        raise ScenarioError(f"reject needs one of {names}; then a colon and a reply")
    if parse_action(reply, scenario.language).kind is not Misbehavior.REPLY:
        raise ScenarioError(f"“{reply}” is not a reply")
    rejected = {**scenario.capabilities.rejected, keyword: reply}
    return replace(scenario, capabilities=replace(scenario.capabilities, rejected=rejected))


def _read_login(scenario: Scenario, rest: str) -> Scenario:
    user, _, password = rest.partition(" ")
    if not password:
        raise ScenarioError("login needs a user and a password")
    capabilities = replace(scenario.capabilities, login=(user, password), login_required=True)
    return replace(scenario, capabilities=capabilities)


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
        raise ScenarioError(f"“{line}” is not a valid rule or setting")
    language = scenario.language
    try:
        stage = language.stages(found["stage"])
    except ValueError:
        stages = ", ".join(language.stages)
        raise ScenarioError(f"there is no stage “{found['stage']}”, only {stages}") from None
    spans = {
        name: Span.parse(found[name]) if found[name] else ALWAYS
        for name in ("index", "connection", "message", "attempt")
    }
    action = parse_action(found["action"], language)
    rule = Rule(stage=stage, action=action, address=found["address"] or "", **spans)
    if contradiction := _contradiction(rule, language):
        raise ScenarioError(contradiction)
    return replace(scenario, rules=(*scenario.rules, rule))


def _contradiction(rule: Rule, language: Language) -> str:
    """Return why a rule can never apply; "" if it can."""
    if rule.index != ALWAYS and rule.stage not in language.counted:
        return f"{rule.stage} has no number"
    if rule.address and rule.stage not in language.addressed:
        return f"{rule.stage} has no address"
    if rule.attempt != ALWAYS and rule.stage != Stage.RCPT:
        return "only rcpt counts attempts"
    if rule.stage == Stage.CONNECT and rule.action not in _AT_CONNECT:
        return "connect allows only refuse, black-hole, close and reset"
    if rule.stage != Stage.CONNECT and rule.action.kind is Misbehavior.REFUSE:
        return "only a connection can be refused"
    return ""


_LINES: dict[str, Callable[[Scenario, str], Scenario]] = {
    "name ": _read_name,
    "offer after starttls ": _read_capabilities_under_tls,
    "offer after stls ": _read_capabilities_under_tls,
    "offer ": _read_capabilities,
    "reject ": _read_rejected,
    "login ": _read_login,
    "certificate ": _read_certificate,
    "tls at once ": _read_tls_at_once,
}


def _extensions(text: str, keywords: frozenset[str]) -> tuple[str, ...]:
    """Split "PIPELINING SIZE 1000 8BITMIME" at known keywords; unknown keywords need commas.

    "nothing" stands for a reply without capabilities.
    """
    if text == "nothing":
        return ()
    found: list[str] = []
    for piece in text.split(","):
        for position, word in enumerate(piece.split()):
            if position and word.upper() not in keywords:
                found[-1] += f" {word}"
            else:
                found.append(word)
    return tuple(found)


def catalog(language: Language = SMTP) -> list[Scenario]:
    """Return the scenarios that come with the package, by name."""
    folder = resources.files("outbox.testing") / language.catalog
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".scn")),
        key=lambda file: file.name,
    )
    return [
        parse_scenario(file.read_text("utf-8"), file.name.removesuffix(".scn"), language)
        for file in files
    ]


def named(name: str, language: Language = SMTP) -> Scenario:
    """Return a scenario of the catalog. Raises KeyError."""
    return {scenario.name: scenario for scenario in catalog(language)}[name]
