"""Pictures inside of composed HTML become parts; what cannot become one is named."""

import base64

import pytest

from outbox.mail.data_pictures import clean_with_pictures

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
GIF = b"GIF89a" + bytes(20)


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


ENCODED = base64.b64encode(PNG).decode()
QUOTED = ENCODED.replace("+", "%2B").replace("=", "%3D")
WAYS = {
    "double quotes": f'<img src="{data_url(PNG)}" alt="chart">',
    "single quotes": f"<img alt='chart' src='{data_url(PNG)}'>",
    "no quotes": f"<img src={data_url(PNG)} alt=chart>",
    "upper case": f'<IMG SRC="DATA:IMAGE/PNG;BASE64,{ENCODED}" ALT="chart">',
    "wrapped": f'<img src="data:image/png;base64,{ENCODED[:40]}\r\n {ENCODED[40:]}" alt="chart">',
    "percent": f'<img src="data:image/png;base64,{QUOTED}" alt="chart">',
    "parameter": f'<img src="data:image/png;charset=utf-8;base64,{ENCODED}" alt="chart">',
    "without base64": '<img src="data:image/png,'
    + "".join(f"%{byte:02x}" for byte in PNG)
    + '" alt="chart">',
}


@pytest.mark.parametrize("html", WAYS.values(), ids=WAYS)
def test_a_picture_becomes_a_part(html: str) -> None:
    cleaned = clean_with_pictures(f"<p>before {html} after</p>")
    [picture] = cleaned.pictures
    assert (picture.content_type, picture.data) == ("image/png", PNG)
    assert f'src="cid:{picture.content_id}"' in cleaned.html
    assert 'alt="chart"' in cleaned.html
    assert "data:" not in cleaned.html
    assert "before" in cleaned.html
    assert "after" in cleaned.html
    assert (cleaned.refused_types, cleaned.has_broken) == ([], False)


def test_several_pictures_become_parts_each_once() -> None:
    png, gif = data_url(PNG), data_url(GIF, "image/gif")
    html = f'<img src="{png}"><p>x</p><img src="{gif}"><img src="{png}">'
    cleaned = clean_with_pictures(html)
    assert [one.content_type for one in cleaned.pictures] == ["image/png", "image/gif"]
    assert cleaned.html.count(f"cid:{cleaned.pictures[0].content_id}") == 2
    assert clean_with_pictures(html) == cleaned  # a second save finds the same pictures


@pytest.mark.parametrize("encoded", ["####", "iVBOR", "", "iVBORw0KGgo=x", "===="])
def test_broken_data_is_named(encoded: str) -> None:
    cleaned = clean_with_pictures(f'<p>x <img src="data:image/png;base64,{encoded}"></p>')
    assert cleaned.has_broken
    assert cleaned.pictures == []


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("data:image/svg+xml;base64,PHN2Zz4=", "image/svg+xml"),
        ("data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg'></svg>", "image/svg+xml"),
        ("data:image/svg+xml,%3Csvg%3E", "image/svg+xml"),
        ("data:image/bmp;base64,Qk0=", "image/bmp"),
        ("data:text/html,x", "text/html"),
        ("data:,x", "text/plain"),
    ],
)
def test_a_type_that_no_mail_program_displays_is_named(address: str, kind: str) -> None:
    cleaned = clean_with_pictures(f'<p>x <img src="{address}"></p>')
    assert cleaned.refused_types == [kind]
    assert cleaned.pictures == []
    assert "svg" not in cleaned.html.replace("image/svg", "")


@pytest.mark.parametrize(
    "html",
    [
        f'<p>Write src="{data_url(PNG)}" there.</p>',
        f"<p>{data_url(PNG)} is how</p>",
        "<p>data:image/png;base64, and outboxmark0z and cid:outboxmark0z</p>",
        "<p>The data: x, y</p>",
    ],
)
def test_words_about_such_an_address_stay_words(html: str) -> None:
    assert clean_with_pictures(html).html == html
    assert clean_with_pictures(html).pictures == []


def test_a_link_to_data_is_dropped() -> None:
    cleaned = clean_with_pictures('<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>')
    assert "href" not in cleaned.html


def test_large_pictures_do_not_count_as_html() -> None:
    cleaned = clean_with_pictures(f'<p><img src="{data_url(bytes(2_000_000))}"></p>')
    assert len(cleaned.pictures[0].data) == 2_000_000
