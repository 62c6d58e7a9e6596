"""A stranger's HTML in the preview: nothing fetches, nothing runs (protocol item 153)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.html import clean_for_preview

PIXEL = {"a@x": ("image/png", b"png"), "svg": ("image/svg+xml", b"<svg/>")}

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "script split by tags": "<scr<script>ipt>alert(1)</script>",
    "handler": '<p onclick="alert(1)" onmouseover=alert(1)>x</p>',
    "handler on a picture": '<img src="x" onerror="alert(1)">',
    "script link": '<a href="javascript:alert(1)">x</a>',
    "script link in disguise": '<a href=" &#106;ava\tscript&colon;alert(1)">x</a>',
    "data link": '<a href="data:text/html,x">x</a>',
    "cid link": '<a href="cid:a@x">x</a>',
    "relative link": '<a href="/logout">x</a>',
    "meta refresh": '<meta http-equiv="refresh" content="0;url=http://e.test">',
    "base": '<base href="http://e.test/">',
    "link": '<link rel="stylesheet" href="http://e.test/x.css">',
    "form": '<form action="http://e.test"><input name=a><button>x</button></form>',
    "frame": '<iframe src="http://e.test" srcdoc="x"></iframe>',
    "object": '<object data="http://e.test"><embed src="http://e.test"></object>',
    "media": '<video src="http://e.test" poster="http://e.test"><audio src="http://e.test">',
    "svg": '<svg><image href="http://e.test"/><script>alert(1)</script></svg>',
    "svg picture": '<img src="cid:svg"><img src="data:image/svg+xml;base64,PHN2Zy8+">',
    "math": '<math><maction actiontype="statusline" xlink:href="http://e.test">x</math>',
    "remote picture": '<img src="https://e.test/a.gif" srcset="https://e.test 2x">',
    "remote picture without scheme": '<img src="http://e.test/a.gif">',
    "background": '<table background="http://e.test"><tr><td background="http://e.test">x',
    "style sheet": "<style>@import 'http://e.test'; p { background: url(http://e.test) }</style>",
    "style url": '<p style="background:url(http://e.test);color:url(http://e.test)">x</p>',
    "style escape": r'<p style="background-color:\75rl(http://e.test)">x</p>',
    "style comment": '<p style="background-color:u/**/rl(http://e.test)">x</p>',
    "style in disguise": r"""<p style="color:u\rgb(x);color:-rgb(x);color:rgb(url(//e.test))">""",
    "style function": '<p style="color:image-set(\'http://e.test\' 1x)">x</p>',
    "style list": '<p style="list-style:url(http://e.test)">x</p>',
    "style entity": '<p style="color:&#117;rl(http://e.test)">x</p>',
    "fixed over the page": '<div style="position:fixed;inset:0;z-index:9">x</div>',
    "template": "<template><img src=http://e.test></template>",
    "raw text tricks": "<textarea></p><img src=x onerror=alert(1)></textarea><xmp><script></xmp>",
    "comment tricks": "<!--><script>alert(1)</script>--><!-- x --!><script>alert(1)</script>",
    "mutation": "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "attribute tricks": '<a title="</a><img src=x onerror=alert(1)>">x</a><p/onclick=alert(1)>',
    "noscript": '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    "nul": "<scr\0ipt>alert(1)</scr\0ipt><img\0src=http://e.test>",
    "id and name": '<p id="x" name="y" class="z">x</p>',
}  # fmt: skip

ATTRIBUTES = re.compile(r"""\s([a-z-]+)=["']([^"']*)["']""")
HARMLESS = {"style", "title", "href", "src", "alt", "rel", "target", "width", "height", "dir",
            "lang", "align", "valign", "bgcolor"}  # fmt: skip


def assert_inert(html: str) -> None:
    for tag in re.findall(r"<([a-zA-Z!?][^\s>]*)", html):
        assert tag in {"a", "b", "p", "img", "table", "tbody", "tr", "td", "div", "span", "font"}
    for tag in re.findall(r"<[^>]*>", html):
        for name, value in ATTRIBUTES.findall(tag):
            assert name in HARMLESS
            assert name != "src" or re.match(r"data:image/(png|jpeg|gif|webp);base64,", value)
            assert name != "href" or re.match(r"https?://|mailto:", value)
            assert name != "style" or not re.search(r"url|image|import|position|\\", value)


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_could_fetch_or_run_is_left(html: str) -> None:
    """Protocol item 153."""
    assert_inert(clean_for_preview(html, PIXEL)[0])


@given(
    st.lists(
        st.sampled_from([*HOSTILE.values(), "<table>", "</p>", "<svg>", "'", '"', "<", "-->", "x"])
    )
)
def test_no_mixture_of_them_gets_through(pieces: list[str]) -> None:
    """Protocol item 153."""
    assert_inert(clean_for_preview("".join(pieces), PIXEL)[0])


def test_it_names_the_hosts_that_were_left_out() -> None:
    html = """
        <img src="https://Tracker.example/a.gif"><img src="//cdn.example:8443/b.gif">
        <table background='http://c.example/x'><img srcset="https://d.example/a 1x, /b 2x">
        <style>@import "https://e.example/x"; p { background: url( 'https://f.example/' ) }</style>
        <p style="background:url(https://g.example/)"><a href="https://linked.example/">x</a>
        <img src="cid:a@x"><img src="relative.png"><img src="https://[broken/">
    """

    _, hosts = clean_for_preview(html, PIXEL)

    assert hosts == [f"{name}.example" for name in ("c", "cdn", "d", "e", "f", "g", "tracker")]


def test_pictures_of_the_message_are_embedded() -> None:
    html, hosts = clean_for_preview('<img src="cid:a%40x" alt="A"><img src="CID:a@x">', PIXEL)

    assert html == (
        '<img src="data:image/png;base64,cG5n" alt="A"><img src="data:image/png;base64,cG5n">'
    )
    assert hosts == []


def test_one_picture_named_a_thousand_times_is_bounded() -> None:
    html, _ = clean_for_preview('<img src="cid:a">' * 1000, {"a": ("image/gif", b"x" * 1_000_000)})

    assert html.count("data:") == 10


def test_common_elements_are_kept() -> None:
    html = (
        '<table width="600" bgcolor="#eeeeee"><tbody><tr><td colspan="2" '
        'style="color:rgb(1, 2, 3);width:calc(100% - 2px)">'
        '<font color="red">Grüße</font> &amp; <b>more</b><br></td></tr></tbody></table>'
    )

    assert clean_for_preview(html, {})[0] == html


def test_a_link_opens_a_new_page_and_sends_no_referrer() -> None:
    html, _ = clean_for_preview('<a href="https://x.example/">x</a>', {})

    assert 'target="_blank"' in html
    assert 'rel="noopener noreferrer nofollow"' in html
