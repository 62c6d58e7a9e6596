"""The color theme: the system's, or the one that was chosen, from the first paint on."""

from typing import TYPE_CHECKING, Literal

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Preferences
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(245, 246, 248)", "rgb(17, 20, 26)"


@pytest.mark.parametrize(
    ("system", "chosen", "ground"),
    [
        ("light", "", LIGHT),
        ("dark", "", DARK),
        ("light", "dark", DARK),
        ("dark", "light", LIGHT),
    ],
)
def test_chosen_theme_wins_over_the_system_s(
    page: "Page", writer: User, system: Literal["light", "dark"], chosen: str, ground: str
) -> None:
    page.emulate_media(color_scheme=system)
    sign_in(page)
    Preferences.objects.create(user=writer, theme=chosen)
    page.goto(reverse("outbox:accounts"))
    assert page.evaluate(GROUND) == ground
    # The attribute comes with the first byte, so that nothing flashes before a script runs.
    source = page.request.get(reverse("outbox:accounts")).text()
    assert ('data-theme="' in source.partition("<head>")[0]) is bool(chosen)


def test_theme_is_chosen_in_the_preferences(page: "Page", writer: User) -> None:
    page.emulate_media(color_scheme="light")
    sign_in(page)
    page.goto(reverse("outbox:preferences"))
    page.get_by_label("Theme").select_option("Dark")
    page.get_by_role("button", name="Save preferences").click()
    page.get_by_text("Preferences saved.").wait_for()
    assert page.evaluate(GROUND) == DARK
    page.get_by_role("button", name="Menu of anna").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.evaluate(GROUND) == DARK
