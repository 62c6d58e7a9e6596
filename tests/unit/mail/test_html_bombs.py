"""HTML made to cost much ends soon (protocol item 134)."""

import time

import pytest

from outbox.mail.html import clean_for_preview, html_to_text
from outbox.mail.markup import MAX_ATTRIBUTES, MAX_HTML, MAX_NESTING, well_nested

LENGTH = 50_000
# Without `well_nested`, nh3 takes seconds for some, and more memory than there is for "clones".
BOMBS = {
    "deep": "<div>",
    "clones": "<p>" + "".join(f"<b title={n}>" for n in range(1_000)) + "</p><p>x",
    "clones of links": "<a href=//x><div>",
    "unclosed": "<li>x",
    "tables": "<table><tr><td>",
    "text in tables": "<table>" + "<b>x</b>" * (LENGTH // 8),
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(LENGTH // 8)),
    "quotes": "<a b='\"",
    "comments": "<!--",
    "declarations": "<!",
    "raw text": "<style>",
    "less than": "<",
    "ampersands": "&",
    "urls": "url(" + " " * LENGTH,
    "styles": '<p style="' + "color:rgb((" * (LENGTH // 11),
    "lists for the text": "<ol><li>x",
    "quotes for the text": "<blockquote>x",
    "one line for the text": "<b>x</b> ",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_it_ends_soon(bomb: str) -> None:
    html = (bomb[:100] * LENGTH)[:LENGTH] if len(bomb) <= 100 else (bomb * 4)[:LENGTH]
    started = time.process_time()

    cleaned, _ = clean_for_preview(html, {})
    text = html_to_text(html)

    assert time.process_time() - started < 0.7
    assert len(cleaned) < 12 * LENGTH
    assert len(text) < 12 * LENGTH


def test_what_is_longer_than_the_limit_is_cut() -> None:
    assert clean_for_preview("x" * (MAX_HTML + 1), {})[0] == "x" * MAX_HTML


NESTED = {
    "closed in order": ("<p><b>x</b></p>", "<p><b>x</b></p>"),
    "never closed": ("<p><b>x", "<p><b>x</b></p>"),
    "closed across": ("<b><i>x</b></i>", "<b><i>x</i></b>"),
    "closed twice": ("<b>x</b></b></p>", "<b>x</b>"),
    "paragraphs": ("<p>a<p>b<div>c</div>", "<p>a</p><p>b</p><div>c</div>"),
    "list items": ("<ul><li>a<li>b<ul><li>c</ul></ul>",
                   "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
    "cells": ("<table><tr><td>a<td>b<tr><td>c</table>",
              "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"),
    "a table in a cell": ("<table><tr><td><table><tr><td>a</table>b</table>",
                          "<table><tr><td><table><tr><td>a</td></tr></table>b</td></tr></table>"),
    "links in links": ("<a href=x>a<a href=y>b", '<a href="x">a</a><a href="y">b</a>'),
    "void": ("a<br>b<br/>c<hr>", "a<br>b<br>c<hr>"),
    "other tags": ("<o:p>a</o:p><center>b</center>", "ab"),
    "raw text": ("<style>p{}</style>a<script>if (a</b) x</script>b<TITLE>c</title >d", "abd"),
    "comments": ("a<!-- <b> -->b<!doctype html><?php x ?>c", "abc"),
    "attributes": ("<p a=1 B='2' c=\"3\" a=4 d e=f<b>x",
                   '<p a="1" b="2" c="3" d="" e="f&lt;b">x</p>'),
    "quotes": ("<p a='\"'>x", '<p a="&quot;">x</p>'),
    "entities": ("&lt;b&gt; &amp; a < b > c", "&lt;b&gt; &amp; a &lt; b &gt; c"),
    "cut off": ("a<b title='x", "a<b title=\"'x\"></b>"),
}  # fmt: skip

TAGS = {"a", "b", "i", "p", "div", "ul", "li", "table", "tr", "td", "br", "hr"}


@pytest.mark.parametrize(("html", "expected"), NESTED.values(), ids=NESTED)
def test_it_closes_what_is_open(html: str, expected: str) -> None:
    assert well_nested(html, TAGS) == expected


def test_too_deep_tags_leave_their_text() -> None:
    html = well_nested("<div>" * (MAX_NESTING + 2) + "x</div></div>y</div>z", TAGS)

    assert html == "<div>" * MAX_NESTING + "xy</div>z" + "</div>" * (MAX_NESTING - 1)


def test_a_tag_keeps_so_many_attributes_only() -> None:
    """The parser below compares each with all before it."""
    given = [f" a{'a' * (n % 26)}{'b' * (n // 26)}=''" for n in range(MAX_ATTRIBUTES + 9)]

    assert well_nested(f"<p{''.join(given)}>", TAGS).count("=") == MAX_ATTRIBUTES
