"""Our client meets every scenario of the matrix; what it says must be what the server did.

Protocol items 80, 90, 92 and 96. A late reply comes long after the client has timed out.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from outbox.smtp import (
    Connection,
    Disposition,
    Envelope,
    Security,
    Server,
    SmtpFault,
    Timeouts,
    Transaction,
)
from outbox.testing.faultlab import FaultLab
from outbox.testing.matrix import matrix
from outbox.testing.scenario import Scenario

pytestmark = pytest.mark.timeout(600)  # the first test waits for all scenarios

AT_ONCE = 128  # labs; they mostly wait
LATE = 60.0  # the client never waits so long
# The client's timeout, if the scenario has a fault that it has to wait for, else one that no server
# on a busy machine exceeds.
SHORT, LONG = 2.0, 90.0
SILENT = {"black-hole", "drip", "late", "missing", "no-reply"}
BODY = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 100


@dataclass(slots=True)
class Run:
    """Three messages of two recipients each, sent through one lab."""

    lab: FaultLab
    opened: list[str] = field(default_factory=list)  # faults of opening
    sent: dict[str, Transaction] = field(default_factory=dict)  # by Message-ID

    def outcomes(self, message: int) -> list[str]:
        """Return the client's outcomes for the recipients of a message, or the fault of opening."""
        transaction = self.sent.get(f"<{message}@example.org>")
        if transaction is None:
            return self.opened
        return [str(outcome.disposition) for outcome in transaction.recipients]


async def proceed() -> bool:
    return True


def timeouts_for(scenario: Scenario) -> Timeouts:
    """Return long timeouts, except for a server that keeps the client waiting."""
    stage, fault, *_ = scenario.name.split("/")
    # After a reply to STARTTLS in two parts, the client waits for a handshake.
    seconds = SHORT if fault in SILENT or stage == "starttls" else LONG
    phases = ("connect", "greeting", "command", "tls", "auth", "data", "block", "dot", "quit")
    return Timeouts(**dict.fromkeys(phases, seconds))


def server_for(lab: FaultLab, scenario: Scenario) -> Server:
    secured, login = scenario.offers("STARTTLS"), scenario.offers("AUTH")
    return Server(
        host=lab.host,
        port=lab.port,
        security=Security.STARTTLS if secured else Security.NONE,
        username="me" if login else "",
        secret="secret" if login else "",
        allow_plaintext_auth=True,
        ehlo_name="client.example",
        timeouts=timeouts_for(scenario),
        ca_file=lab.ca_file if secured else None,
    )


async def send_three(found: Run, server: Server) -> None:
    session = None
    for number in (1, 2, 3):
        try:
            if session is None or not session.usable:
                session = await Connection.open(server)
        except SmtpFault as fault:
            found.opened.append(str(fault.kind))
            continue
        message_id = f"<{number}@example.org>"
        source = f"Message-ID: {message_id}\r\n".encode() + BODY
        recipients = (f"ann{number}@example.net", f"bob{number}@example.net")
        envelope = Envelope(sender="alice@example.org", recipients=recipients)
        found.sent[message_id] = await session.send(envelope, source, proceed)
        if not session.usable:
            await session.quit()
    if session is not None:
        await session.quit()


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    async def run_all() -> dict[str, Run]:
        places = asyncio.Semaphore(AT_ONCE)
        loop = asyncio.get_running_loop()

        async def one(scenario: Scenario) -> tuple[str, Run]:
            async with places:
                # In other threads, since closing would block the clients' timers.
                lab = await loop.run_in_executor(helpers, FaultLab(scenario).__enter__)
                found = Run(lab)
                await send_three(found, server_for(lab, scenario))
                await loop.run_in_executor(helpers, lab.__exit__, None, None, None)
                return scenario.name, found

        with ThreadPoolExecutor(2) as helpers:
            return dict(await asyncio.gather(*map(one, matrix(late=LATE))))

    return asyncio.run(run_all())


def contradictions(found: Run) -> list[str]:
    """Return where the client and the server's ledger disagree."""
    wrong = list(found.lab.ledger.violations)
    for message_id, transaction in found.sent.items():
        for outcome in transaction.recipients:
            outcomes = outcome.disposition
            copies = found.lab.ledger.copies(message_id, outcome.address)
            if outcomes is Disposition.ACCEPTED:
                agree = copies == 1
            elif outcomes is Disposition.UNCERTAIN:
                agree = transaction.dot_sent and copies <= 1
            else:
                agree = copies == 0
            if not agree:
                wrong.append(f"{message_id} {outcome.address}: {outcomes}, but {copies} copies")
    return wrong


@pytest.mark.system
def test_the_client_s_outcomes_agree_with_the_server(runs: dict[str, Run]) -> None:
    wrong = {name: bad for name, found in runs.items() if (bad := contradictions(found))}
    dialogues = "\n\n".join(f"{name}\n{runs[name].lab.ledger.text()}" for name in list(wrong)[:3])
    assert not wrong, dialogues


def test_every_message_is_kept_byte_for_byte(runs: dict[str, Run]) -> None:
    kept = [taken for found in runs.values() for taken in found.lab.ledger.accepted]
    assert len(kept) > 1000
    for taken in kept:
        assert taken.source == f"Message-ID: {taken.message_id}\r\n".encode() + BODY


@pytest.mark.parametrize(
    ("name", "message", "outcomes"),
    [
        ("mail/4xx/pipelined/first", 1, ["transient", "transient"]),
        ("mail/5xx/stepwise/third", 3, ["permanent", "permanent"]),
        ("rcpt-1/5xx/pipelined/first", 1, ["permanent", "accepted"]),
        ("rcpt-2/4xx/chunking/third", 3, ["accepted", "transient"]),
        ("data/close/pipelined/third", 3, ["not_tried", "not_tried"]),
        ("dot/4xx/stepwise/first", 1, ["transient", "transient"]),
        ("dot/close/pipelined/first", 1, ["uncertain", "uncertain"]),
        ("dot/reset/pipelined/third", 3, ["uncertain", "uncertain"]),
        ("dot/black-hole/stepwise/first", 1, ["uncertain", "uncertain"]),
        ("dot/no-reply/pipelined/third", 3, ["uncertain", "uncertain"]),
        ("bdat/late/chunking/first", 1, ["uncertain", "uncertain"]),
        ("bdat/5xx/chunking/third", 3, ["permanent", "permanent"]),
        ("quit/reset/pipelined/first", 3, ["accepted", "accepted"]),  # protocol item 92
        ("greeting/black-hole/pipelined/first", 1, ["timeout"] * 3),
        ("tls/garbage/pipelined/first", 1, ["tls"] * 3),
        ("auth/5xx/pipelined/first", 1, ["auth_rejected"] * 3),
    ],
)
def test_each_fault_has_its_kind(
    runs: dict[str, Run], name: str, message: int, outcomes: list[str]
) -> None:
    assert runs[name].outcomes(message) == outcomes, runs[name].lab.ledger.text()


def test_an_end_between_two_messages_leaves_the_second_unsent_at_worst(
    runs: dict[str, Run],
) -> None:
    """Protocol item 90; the 421 may arrive before the second transaction begins, or just after."""
    found = runs["idle/421-close/pipelined/first"]
    outcomes = found.outcomes(2)
    assert outcomes in (["accepted"] * 2, ["not_tried"] * 2), found.lab.ledger.text()
