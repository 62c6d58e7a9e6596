"""The Chinese catalog holds every text of the sources, whole, right in its places, compiled.

`make messages` brings it up to the sources and names what is left to translate.
"""

import datetime as dt
import gettext
import re
from pathlib import Path

import polib
import pytest
from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dev.messages import CATALOG, Text, found_in_sources, read_file
from outbox.api.sizes import format_size

PLACE = re.compile(r"%\(\w+\)[sd]|%%s|</?code>")


@pytest.fixture(scope="module")
def catalog() -> polib.POFile:
    return polib.pofile(str(CATALOG))


def translations(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_it_holds_exactly_the_texts_of_the_sources(catalog: polib.POFile) -> None:
    held = {Text(entry.msgid, entry.msgid_plural, entry.msgctxt) for entry in catalog}
    assert held == set(found_in_sources())


def test_every_text_is_translated_and_none_is_a_guess(catalog: polib.POFile) -> None:
    assert [entry.msgid for entry in catalog if not all(translations(entry))] == []
    assert [entry.msgid for entry in catalog if entry.fuzzy or entry.obsolete] == []


def test_each_translation_has_the_places_of_its_text(catalog: polib.POFile) -> None:
    for entry in catalog:
        offered = set(PLACE.findall(entry.msgid)) | set(PLACE.findall(entry.msgid_plural))
        needed = set(PLACE.findall(entry.msgid_plural or entry.msgid))
        for translated in translations(entry):
            assert needed <= set(PLACE.findall(translated)) <= offered, entry.msgid


def test_sentences_end_as_they_should(catalog: polib.POFile) -> None:
    ends = {".": "\u3002", "?": "\uff1f", ":": "\uff1a"}
    for entry in catalog:
        end = ends.get(entry.msgid[-1])
        for translated in translations(entry):
            assert end is None or translated.endswith(end), entry.msgid


def test_the_compiled_file_says_the_same(catalog: polib.POFile) -> None:
    with CATALOG.with_suffix(".mo").open("rb") as compiled:
        spoken = gettext.GNUTranslations(compiled)
    for entry in catalog:
        if entry.msgid_plural:
            said = spoken.ngettext(entry.msgid, entry.msgid_plural, 2)
        elif entry.msgctxt:
            said = spoken.pgettext(entry.msgctxt, entry.msgid)
        else:
            said = spoken.gettext(entry.msgid)
        assert said == translations(entry)[0]


@pytest.mark.parametrize("count", [0, 1, 2, 21])
def test_a_count_has_one_form_in_chinese_and_two_in_english(count: int) -> None:
    forms = ("%(count)d second", "%(count)d seconds")
    with translation.override("zh-hans"):
        assert ngettext(*forms, count) % {"count": count} == f"{count} 秒"
    with translation.override("en"):
        said = ngettext(*forms, count) % {"count": count}
    assert said == f"{count} second" + ("" if count == 1 else "s")


def test_dates_and_numbers_follow_the_language() -> None:
    day = dt.date(2026, 11, 4)
    with translation.override("zh-hans"):
        assert date_format(day) == "2026年11月4日"
        assert format_size(2_100) == "2.1 kB"
    with translation.override("en"):
        assert date_format(day) == "Nov. 4, 2026"


def test_a_browser_that_asks_for_any_simplified_chinese_gets_it() -> None:
    for asked in ("zh-cn", "zh-hans", "zh-sg"):
        with translation.override(translation.get_supported_language_variant(asked)):
            assert _("Send") == "发送"


SOURCES = [
    pytest.param(
        "x.py",
        'from x import gettext as _\na = _("one " "two")',
        Text("one two"),
        id="a text over two lines",
    ),
    pytest.param("x.py", 'ngettext("one", "many", n)', Text("one", "many"), id="a plural"),
    pytest.param("x.py", 'pgettext_lazy("here", "one")', Text("one", "", "here"), id="context"),
    pytest.param("x.html", "{% translate 'a (b) c' %}", Text("a (b) c"), id="brackets in a text"),
    pytest.param(
        "x.html", "{% translate 'one' context 'here' %}", Text("one", "", "here"), id="tag context"
    ),
    pytest.param(
        "x.html",
        "<i>it's</i> {% blocktranslate count n=n %}{{ n }} one{% plural %}{{ n }} many"
        "{% endblocktranslate %}",
        Text("%(n)s one", "%(n)s many"),
        id="a block with a plural",
    ),
]


@pytest.mark.parametrize(("name", "source", "text"), SOURCES)
def test_texts_are_found_as_gettext_finds_them(
    tmp_path: Path, name: str, source: str, text: Text
) -> None:
    path = tmp_path / name
    path.write_text(source)
    assert read_file(path) == [text]


def test_a_variable_is_not_a_text(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text('gettext(label)\n_(label)\nother("one")\n')
    assert read_file(path) == []
