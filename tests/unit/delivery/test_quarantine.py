"""A message on which our own code fails is held if certainly unsent, else uncertain."""

import pytest

from outbox.delivery.job import Job, JobRecipient
from outbox.delivery.transaction import quarantined
from outbox.models import Outcome, State


@pytest.mark.parametrize(("is_dot_marked", "state"), [(False, State.HELD), (True, State.UNCERTAIN)])
def test_only_a_certainly_unsent_message_is_held(is_dot_marked: bool, state: State) -> None:
    """Releasing a held message sends it. After the final dot that would be a silent second copy."""
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
    )
    result = quarantined(job, KeyError("x"), is_dot_marked=is_dot_marked)
    assert result.outcome == Outcome.QUARANTINED
    assert [verdict.state for verdict in result.verdicts] == [state, state]
    # No policy resends it: a person decides.
    assert {verdict.next_attempt_at for verdict in result.verdicts} == {None}
    assert "KeyError: 'x'" in str(result.verdicts[0].reason)
