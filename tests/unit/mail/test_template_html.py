"""Placeholders in the HTML of a template: kept where they can be used, named where they cannot."""

import pytest

from outbox.mail.html import clean_html, clean_template, html_to_text, unusable_addresses
from outbox.mail.markup import attributes, tokens

KEPT = {
    "link": '<a href="{{ link }}">x</a>',
    "link without blanks": '<a href="{{link}}">x</a>',
    "single quotes": "<a href='{{ link }}'>x</a>",
    "no quotes": "<a href={{link}}>x</a>",
    "path": '<a href="{{ base }}/a?b={{ c }}&amp;d=1#e">x</a>',
    "end of an address": '<a href="https://example.com/{{ token }}">x</a>',
    "host": '<a href="https://{{ host }}/">x</a>',
    "two side by side": '<a href="{{ a }}{{ b }}">x</a>',
    "mailto": '<a href="mailto:{{ address }}?subject={{ subject }}">x</a>',
    "tel": '<a href="tel:{{ number }}">x</a>',
    "picture": '<img src="{{ picture }}" alt="{{ name }}" width="{{ width }}">',
    "style": '<p style="color:{{ color }};width:{{ width }}px">x</p>',
    "hash color": '<p style="color:#{{ color }}">x</p>',
    "filter": "<a href=\"{{ link|default:'https://example.com' }}\">x</a>",
    "filter with double quotes": '<a href="{{ link|default:"https://example.com" }}">x</a>',
    "text": '<p>{{ name|default:"<you>" }}</p>',
    "title": '<table><tr><td title="{{ a }}" bgcolor="{{ b }}">x</td></tr></table>',
}


@pytest.mark.parametrize("html", KEPT.values(), ids=KEPT)
def test_a_placeholder_is_kept_where_it_can_be_used(html: str) -> None:
    cleaned, lost = clean_template(html)
    assert lost == []
    assert cleaned.count("{{") == html.count("{{")
    assert clean_template(cleaned) == (cleaned, [])  # saved a second time it is the same


LOST = {
    "event": '<p onclick="{{ x }}">y</p>',
    "class": '<p class="{{ x }}">y</p>',
    "script": "<script>{{ x }}</script>",
    "comment": "<!-- {{ x }} -->",
    "tag": "<{{ x }}>y",
    "attribute name": "<p {{ x }}>y</p>",
    "whole style": '<p style="{{ x }}">y</p>',
    "name of a style": '<p style="{{ x }}: red">y</p>',
    "url in a style": '<p style="background: url({{ x }})">y</p>',
    "script address": '<a href="javascript:{{ x }}">y</a>',
    "part of a scheme": '<a href="java{{ x }}">y</a>',
    "relative address": '<a href="/{{ x }}">y</a>',
    "form": '<form action="{{ x }}">y</form>',
    "link inside of a picture": '<img src="mailto:{{ x }}">',
}


@pytest.mark.parametrize("html", LOST.values(), ids=LOST)
def test_a_placeholder_that_cannot_be_used_is_named(html: str) -> None:
    cleaned, lost = clean_template(html)
    assert lost == ["{{ x }}"]
    assert "{{" not in cleaned


def test_text_that_looks_like_a_mark_is_text() -> None:
    html = '<p>outboxmark0z {{ a }} OUTBOXMARKX0z</p><a href="outboxmark0z">x</a>'
    cleaned, lost = clean_template(html)
    assert lost == []
    assert "<p>outboxmark0z {{ a }} OUTBOXMARKX0z</p>" in cleaned
    assert "href" not in cleaned


@pytest.mark.parametrize(
    "value",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
     "data:text/html,x", "vbscript:x", "//example.com", "/x", "example.com", "cid:x", "file:///x"],
)  # fmt: skip
def test_an_address_that_is_filled_in_is_judged(value: str) -> None:
    assert unusable_addresses(f'<a href="{value}">x</a>') == [value.strip()]
    assert "href" not in clean_html(f'<a href="{value}">x</a>')


@pytest.mark.parametrize("value", ["https://x.test/", "mailto:a@b.test", "", "{{ link }}/x"])
def test_an_address_that_can_be_used_is_not_named(value: str) -> None:
    assert unusable_addresses(f'<a href="{value}">x</a>') == []


@pytest.mark.parametrize(
    "html",
    [
        '<a href="{{ x" onclick="alert(1)" title="}}">y</a>',
        "<a href=\"{{ x|default:&quot;' onclick='alert(1)&quot; }}\">y</a>",
        "<a href='{{ x\" onclick=\"alert(1) }}'>y</a>",
        "<a href={{ x }}onclick=alert(1)>y</a>",
        '<a href="{{ x }}" onclick="{{ x }}">y</a>',
        '<img src="{{ x }}" onerror=alert(1)>',
        "{{ <img src=x onerror=alert(1)> }}",
        '<a href="{{ x }}:alert(1)">y</a>',
    ],
)
def test_a_composed_message_has_no_handler_beside_a_placeholder(html: str) -> None:
    cleaned = clean_html(html)
    names = {
        name for close, tag, rest in tokens(cleaned) if tag for name in attributes(rest)
    }  # fmt: skip
    assert names <= {"href", "title", "src", "rel"}
    assert "<img src=x" not in cleaned


def test_a_placeholder_that_was_not_filled_in_stays_in_the_link() -> None:
    html = clean_html('<a href="{{ link }}">here</a>')
    assert 'href="{{ link }}"' in html
    assert "{{ link }}" in html_to_text(html)
