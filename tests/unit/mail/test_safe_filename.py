"""Names of files from strangers, safe to offer and to store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.filenames import safe_filename

NAMES = {
    "plain": ("report.pdf", "report.pdf"),
    "kept as people wrote it": ("Größe (2) – 日本 👩‍👧.pdf", "Größe (2) – 日本 👩‍👧.pdf"),
    "a path": ("../../etc/passwd", "passwd"),
    "a path of Windows": ("C:\\Users\\a\\b.txt", "b.txt"),
    "a drive": ("C:b.txt", "C_b.txt"),
    "nothing but a path": ("../../", "attachment"),
    "dots": ("..", "attachment"),
    "hidden": (".htaccess", "htaccess"),
    "line breaks": ("a\r\nContent-Type: text-html.txt", "a Content-Type_ text-html.txt"),
    "controls": ("a\0b\x1b[31m.txt", "ab[31m.txt"),
    "a bidi override": ("annex\u202egpj.exe", "annexgpj.exe"),
    "zero width": ("a\u200b\ufeff.txt", "a.txt"),
    "half a character": ("a\ud800.txt", "a.txt"),
    "reserved": ('a<b>:"|?*.txt', "a_b______.txt"),
    "a device": ("CON", "_CON"),
    "a device with an extension": ("com1.txt", "_com1.txt"),
    "no device": ("console.txt", "console.txt"),
    "blanks and dots at the end": ("a.txt . ", "a.txt"),
    "empty": ("", "attachment"),
    "blank": (" \t ", "attachment"),
    "nothing to see": ("\u200d\u200c.", "attachment"),
    "decomposed": ("u\u0308.txt", "ü.txt"),
    "long": ("a" * 300 + ".tar.gz", "a" * 147 + ".gz"),
    "long without extension": ("a" * 300, "a" * 150),
    "long in bytes": ("日" * 300 + ".pdf", "日" * 78 + ".pdf"),
    "an extension that is none": ("a." + "b" * 300, "a." + "b" * 148),
}  # fmt: skip


@pytest.mark.parametrize(("name", "safe"), NAMES.values(), ids=NAMES)
def test_it_keeps_what_is_safe(name: str, safe: str) -> None:
    """Protocol item 154."""
    assert safe_filename(name) == safe


@given(st.text() | st.text(alphabet="./\\ \u202eaCON:\n", max_size=200))
def test_every_name_is_safe_and_stays_as_it_is(name: str) -> None:
    """Protocol items 154 and 155."""
    safe = safe_filename(name)

    assert 0 < len(safe) <= 150
    assert len(safe.encode()) <= 240
    assert not set(safe) & set('/\\<>:"|?*\r\n\t\0\u202e')
    assert safe == safe.strip(" .")
    assert safe_filename(safe) == safe
