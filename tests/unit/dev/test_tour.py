"""The tour shows each page in four ways, from pictures that are there and not too large."""

import re
from collections import defaultdict

from dev.tour import KEPT, NAMED, TOUR
from tests.browser.album import SIZES, THEMES

LARGEST = 3_000_000  # bytes of all pictures: they are part of every clone
FOUR = {f"{size}-{theme}" for size in SIZES for theme in THEMES}
IN_CHINESE = {"wide-light", "narrow-dark"}  # the same pages, so half of it will do
PAGE = re.compile(r"(.+)-((?:wide|narrow)-(?:light|dark))")


def test_every_picture_it_names_is_there_and_no_other() -> None:
    named = set(NAMED.findall(TOUR.read_text()))
    assert {path.stem for path in KEPT.glob("*.webp")} == named


def test_each_page_is_shown_wide_and_narrow_light_and_dark() -> None:
    shown: dict[str, set[str]] = defaultdict(set)
    for name in NAMED.findall(TOUR.read_text()):
        found = PAGE.fullmatch(name)
        assert found is not None, name
        shown[found[1]].add(found[2])
    for page, ways in shown.items():
        assert ways == (IN_CHINESE if page.startswith("chinese-") else FOUR), page


def test_the_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in KEPT.iterdir()) < LARGEST
