"""A mail our own code fails on: held while it is certainly unsent, uncertain once it may be out."""

import pytest

from outbox.delivery.converse import quarantined
from outbox.delivery.job import Job, JobRecipient
from outbox.models import Outcome, State


@pytest.mark.parametrize(("is_marked", "state"), [(False, State.HELD), (True, State.UNCERTAIN)])
def test_only_what_is_certainly_unsent_is_held(is_marked: bool, state: State) -> None:
    """Releasing a held mail sends it; behind the dot that would be a second copy unknowingly."""
    job = Job(
        attempt_id=1,
        message_id=1,
        destination_id=1,
        sender_key=0,
        envelope_sender="",
        sha256="",
        source=None,
        resend_after=None,
        is_whole=True,
        recipients=[
            JobRecipient(id=number, address=f"bob{number}@example.net", attempts=0, expires_at=None)
            for number in range(2)
        ],
        is_marked=is_marked,
    )
    result = quarantined(job, "KeyError: 'x'")
    assert result.outcome == Outcome.QUARANTINED
    assert [verdict.state for verdict in result.verdicts] == [state, state]
    # No policy resends what nobody understands: a person decides.
    assert {verdict.next_attempt_at for verdict in result.verdicts} == {None}
    assert "KeyError: 'x'" in result.verdicts[0].reason
