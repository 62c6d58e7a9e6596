"""The wait between attempts grows, has jitter and a cap; protocol item 104."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.delivery.judging import BACKOFF, NOW, after

chances = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [
        (1, 60),
        (2, 120),
        (3, 240),
        (8, 7_680),
        (9, 14_400),  # 15,360 without the cap
        (10, 14_400),
        (1_000_000, 14_400),
        (0, 60),  # nothing was tried: as after the first
    ],
)
def test_it_doubles_up_to_the_cap(attempts: int, seconds: float) -> None:
    assert BACKOFF.wait(attempts, chance=0.5) == seconds
    assert BACKOFF.next_attempt_at(NOW, attempts, 0.5) == after(seconds)


@given(st.integers(1, 100), chances)
def test_jitter_moves_a_wait_by_its_share_at_most(attempts: int, chance: float) -> None:
    plain = BACKOFF.wait(attempts, chance=0.5)
    wait = BACKOFF.wait(attempts, chance)
    assert plain * 0.8 <= wait <= plain * 1.2


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 48), (0.25, 54), (0.5, 60), (1.0, 72)])
def test_chance_is_spread_over_the_whole_share(chance: float, seconds: float) -> None:
    assert BACKOFF.wait(1, chance) == pytest.approx(seconds)


@given(st.integers(1, 60), chances, chances)
def test_the_next_wait_is_longer_whatever_chance_says(
    attempts: int, chance: float, later: float
) -> None:
    uncapped = replace(BACKOFF, longest=float("inf"))
    assert uncapped.wait(attempts, chance) < uncapped.wait(attempts + 1, later)


def test_without_jitter_a_wait_is_exact() -> None:
    steady = replace(BACKOFF, jitter=0)
    assert {steady.wait(1, chance) for chance in (0.0, 0.3, 0.99)} == {60}
