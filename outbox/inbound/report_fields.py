"""Reports as programs write them: blocks of fields, for a message and for each of its recipients.

Delivery status notifications (RFC 3464, RFC 6533), disposition notifications (RFC 8098) and
feedback reports (RFC 5965) have this form. Some servers label the part with another type, so text
that begins like such a report is one too.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outbox.inbound.address_text import report_address
from outbox.inbound.inspection import Action

MAX_BLOCKS = 2_000  # recipients of one report
_MAX_LINES = 40_000
_MAX_VALUE = 4_000  # characters of a folded value
_FIELD = re.compile(r"([!-9;-~]{1,80}+)[ \t]*+:[ \t]*+(.*+)")
_BLOCK_START = ("original-recipient", "final-recipient")
_RECIPIENT_FIELDS = frozenset({"final-recipient", "original-recipient", "action", "status"})
_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_WORD = re.compile(r"[a-z]++")
_ACTIONS = {
    "fail": Action.FAILED,
    "error": Action.FAILED,  # OpenSMTPD
    "expired": Action.FAILED,
    "denied": Action.FAILED,
    "reject": Action.FAILED,
    "bounce": Action.FAILED,
    "delay": Action.DELAYED,
    "deferred": Action.DELAYED,
    "deliverable": Action.DELIVERED,
    "delivered": Action.DELIVERED,
    "success": Action.DELIVERED,
    "relay": Action.RELAYED,
    "expand": Action.EXPANDED,
}

Block = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StatusBlock:
    """What a delivery status notification says about one recipient."""

    original: str
    final: str
    action: Action | None
    status: str
    diagnostic: str

    @property
    def address(self) -> str:
        """The address as the sender gave it, or the final one."""
        return self.original or self.final


def read_blocks(text: str) -> list[Block]:
    """Return the blocks of a report: names in lower case, values unfolded; the first one counts."""
    return list(_blocks(text))[:MAX_BLOCKS]


def _blocks(text: str) -> Iterator[Block]:
    block: dict[str, str] = {}
    name = ""
    for line in text.split("\n")[:_MAX_LINES]:
        match = None if line[:1] in {" ", "\t"} else _FIELD.match(line)
        found = match[1].lower() if match else ""
        # Some reports have no empty line between recipients.
        if block and (not line.strip() or (found in _BLOCK_START and found in block)):
            yield block
            block, name = {}, ""
        if match:
            name = found if found not in block else ""
            block.setdefault(found, match[2].strip())
        elif name and line.strip() and len(block[name]) < _MAX_VALUE:
            block[name] = f"{block[name]} {line.strip()}".strip()  # even where it is not indented
    if block:
        yield block


def status_blocks(blocks: list[Block]) -> Iterator[StatusBlock]:
    """Yield what a delivery status notification says about each recipient."""
    for block in blocks:
        if not _RECIPIENT_FIELDS & block.keys():
            continue
        original = report_address(block.get("original-recipient", ""))
        final = report_address(block.get("final-recipient", ""))
        if not original and not final:
            final = report_address(block.get("x-actual-recipient", ""))
        diagnostic = block.get("diagnostic-code", "") or block.get("x-supplementary-info", "")
        status = read_status(block.get("status", ""))
        yield StatusBlock(original, final, _action(block, status), status, without_type(diagnostic))


def read_status(value: str) -> str:
    """Return the first enhanced status code in a text, or ""."""
    match = _STATUS.search(value)
    return match[0] if match else ""


def is_status_report(text: str) -> bool:
    """Return whether a text has the fields of a delivery status notification."""
    start = text[:20_000].lower()
    return "\nfinal-recipient" in f"\n{start}" and ("\naction" in start or "\nstatus" in start)


def _action(block: Block, status: str) -> Action | None:
    """Return the action; without a known one the status decides."""
    match = _WORD.search(block.get("action", "").lower())
    word = match[0] if match else ""
    for start, action in _ACTIONS.items():
        if word.startswith(start):
            return action
    return {"2": Action.DELIVERED, "4": Action.DELAYED, "5": Action.FAILED}.get(status[:1])


def without_type(diagnostic: str) -> str:
    """Return a diagnostic code without its type: "smtp; 550 …" (RFC 3464 2.3.6)."""
    kind, separator, rest = diagnostic.partition(";")
    return rest.strip() if separator and " " not in kind.strip() else diagnostic.strip()
