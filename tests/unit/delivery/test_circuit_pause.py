"""An open circuit rests longer each time, bounded, with jitter that only adds; item 107."""

import pytest
from django.test import override_settings

from outbox.delivery.circuit import circuit_backoff

QUICK = {"CIRCUIT_PAUSE_INITIAL": 10, "CIRCUIT_PAUSE_MAX": 900, "BACKOFF_JITTER": 0.2}


@pytest.mark.parametrize(
    ("trips", "seconds"),
    [(0, 10), (1, 10), (2, 20), (3, 40), (7, 640), (8, 900), (1_000_000, 900)],
)
def test_it_doubles_with_every_opening_up_to_the_cap(trips: int, seconds: float) -> None:
    with override_settings(OUTBOX=QUICK):
        assert circuit_backoff().wait(trips, chance=0) == seconds


@pytest.mark.parametrize(("chance", "seconds"), [(0, 10), (0.5, 11), (1, 12)])
def test_chance_spreads_the_workers_and_never_shortens_the_rest(
    chance: float, seconds: float
) -> None:
    with override_settings(OUTBOX=QUICK):
        assert circuit_backoff().wait(1, chance) == pytest.approx(seconds)
