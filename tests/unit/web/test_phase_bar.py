"""The bar of phases: laid end to end, in order, the shortest still to be seen."""

import pytest

from outbox.web.messages.conversation import MIN_SHARE, segments


def test_phases_are_laid_end_to_end_in_the_order_they_happen() -> None:
    laid = segments({"dot": 60.0, "connect": 20.0, "mail": 20.0})
    assert [(part.phase, part.start, part.share) for part in laid] == [
        ("connect", 0, 20),
        ("mail", 20, 20),
        ("dot", 40, 60),
    ]


def test_a_phase_that_took_no_time_is_still_seen() -> None:
    laid = segments({"connect": 0.0, "dot": 5_000.0})
    assert laid[0].share == pytest.approx(MIN_SHARE, rel=0.05)
    assert laid[-1].start + laid[-1].share == pytest.approx(100, abs=0.05)


@pytest.mark.parametrize("times", [{}, {"connect": 0.0}, {"unheard_of": 3.0}])
def test_without_times_there_is_no_bar(times: dict[str, float]) -> None:
    assert segments(times) == []
