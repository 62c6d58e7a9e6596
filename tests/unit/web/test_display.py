"""How sizes, durations and hostile characters are put."""

import re

import pytest
from django.utils import translation

from outbox.api.sizes import format_size
from outbox.models import Outcome, State, Status
from outbox.templatetags.outbox_display import chip, count_of
from outbox.templatetags.outbox_icons import PATHS
from outbox.web import display


@pytest.mark.parametrize(
    ("count", "put"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (48_200, "48 kB"),
        (25_000_000, "25 MB"),
        (3_000_000_000, "3.0 GB"),
    ],
)
def test_sizes(count: int, put: str) -> None:
    assert format_size(count) == put


@pytest.mark.parametrize(
    ("milliseconds", "put"),
    [(0, "0.0 ms"), (0.44, "0.4 ms"), (12.6, "13 ms"), (1_240, "1.24 s"), (200_000, "3 min")],
)
def test_durations(milliseconds: float, put: str) -> None:
    assert display.duration(milliseconds) == put


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain text, Grüße, 你好, שלום", "plain text, Grüße, 你好, שלום"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        ("beep\x07", "beep⟨07⟩"),
        ("exe.\u202etxt", "exe.⟨202E⟩txt"),
        ("\u2066isolated\u2069", "⟨2066⟩isolated⟨2069⟩"),
        ("a\x00b\x1b[31m", "a⟨00⟩b⟨1B⟩[31m"),
        ("\x85 next line", "⟨85⟩ next line"),
        ("family: 👨\u200d👩\u200d👧", "family: 👨\u200d👩\u200d👧"),
    ],
)
def test_misleading_characters_are_shown_as_their_number(given: str, shown: str) -> None:
    """Protocol item 155."""
    assert display.inert(given) == shown


@pytest.mark.parametrize("state", {*State.values, *Status.values, *Outcome.values})
def test_every_state_has_a_sign_and_a_word(state: str) -> None:
    assert display.SIGNS[state].icon in PATHS
    with translation.override("en"):
        assert str(display.LABELS[state])


@pytest.mark.parametrize(
    ("language", "expected"), [("en", "delivery uncertain"), ("zh-hans", "投递结果不确定")]
)
def test_a_chip_names_what_is_uncertain(language: str, expected: str) -> None:
    with translation.override(language):
        assert f">{expected}<" in re.sub(r"<svg.*?</svg>", "", chip(State.UNCERTAIN))
        assert count_of(3, State.UNCERTAIN) == translation.gettext("%(count)d %(state)s") % {
            "count": 3,
            "state": State.UNCERTAIN.label,
        }
