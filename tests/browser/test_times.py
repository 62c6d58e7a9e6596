"""Times in the browser: the same forms as the server's, in both languages."""

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone, translation

from outbox.api.times import format_clock, format_relative
from outbox.db import clock
from outbox.models import Preferences
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

LENGTHS = (0.4, 3.4, 58.9, 61, 95, 200, 3_500, 3_580, 7_300, 100_000, 171_300, 400_000, 5_000_000)
FORMAT = """async ([now, moments]) => {
    const { formatRelative, formatClock } = await import("/static/outbox/clock.js");
    Date.now = () => now;
    const dates = moments.map((moment) => new Date(moment));
    return dates.map((date) => [
        formatRelative(date), formatRelative(date, true), formatClock(date),
    ]);
}"""


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_script_writes_times_as_the_server_does(
    page: "Page", writer: User, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    sign_in(page)
    Preferences.objects.create(user=writer, language=language, time_zone="Asia/Kolkata")
    page.goto(reverse("outbox:preferences"))
    now = timezone.now()
    moments = [now + dt.timedelta(seconds=sign * length) for length in LENGTHS for sign in (-1, 1)]
    written = page.evaluate(
        FORMAT, [now.timestamp() * 1000, [moment.timestamp() * 1000 for moment in moments]]
    )
    monkeypatch.setattr(clock, "now", lambda: now)
    with translation.override(language), timezone.override("Asia/Kolkata"):
        assert written == [
            [format_relative(at), format_relative(at, is_planned=True), format_clock(at)[-5:]]
            for at in moments
        ]
