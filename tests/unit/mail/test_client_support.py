"""HTML features that email clients do not support."""

import time

import pytest

from outbox.mail.client_support import gaps
from outbox.mail.html import remote_content

USES = {
    "<video>": '<video src="cid:x"></video>',
    "<svg>": "<svg><path/></svg>",
    "<form>": "<FORM action=x></FORM>",
    "position": '<p style="position : absolute">x</p>',
    "animation": "<style>@keyframes a { }</style>",
    "var()": '<p style="color: var(--a)">x</p>',
    "display: flex": "<style>p { color: red; display:inline-flex }</style>",
    "float": '<p style="float:left">x</p>',
    "background-image": '<p style="background: red url(cid:x)">x</p>',
    "border-radius": '<p style="border-top-left-radius: 3px">x</p>',
    "@media": "<style>@media print { }</style>",
    "data: picture": '<img src="data:image/png;base64,AA==">',
    "SVG picture": '<img src="https://example.com/a.svg?b">',
}


@pytest.mark.parametrize(("feature", "html"), USES.items(), ids=USES)
def test_it_names_what_others_do_not_show(feature: str, html: str) -> None:
    (gap,) = gaps(html)
    assert (gap.feature, gap.count) == (feature, 1)


@pytest.mark.parametrize(
    "html",
    [
        "<h1>a</h1><table border=1><tr><td bgcolor=red style='color: #fff; padding: 3px'>b</table>",
        "<p style='background-position: left; float: none; position: static'>x</p>",
        "<p>position: fixed, display: flex</p>",
        "<!--[if mso]><v:rect style='position: absolute'></v:rect><![endif]-->",
        '<img src="cid:a"><img src="https://example.com/a.png">',
    ],
    ids=["plain", "harmless values", "words", "for Outlook alone", "pictures"],
)
def test_it_ignores_features_that_every_client_supports(html: str) -> None:
    assert gaps(html) == []


def test_what_most_leave_out_comes_first_and_is_counted() -> None:
    html = "<form></form>" + "<video></video>" * 3
    assert [(gap.feature, gap.count) for gap in gaps(html)] == [("<video>", 3), ("<form>", 1)]


@pytest.mark.parametrize(
    "piece",
    ["<style ", "<style>", "<!--", "background:", "<a style='", "position ", "<img src=data:"],
)
def test_hostile_html_costs_little(piece: str) -> None:
    html = "<p style='" * (piece == "background:") + piece * (500_000 // len(piece))
    began = time.process_time()
    gaps(html)
    assert time.process_time() - began < 5


def test_it_counts_what_would_be_fetched_from_where() -> None:
    html = (
        '<img src="https://a.example/1"><img src="https://a.example/2">'
        '<img src="&#104;ttps://b.example/">'
        "<p style='background: url(//c.example/x)'>x</p><img src='cid:d'>"
        '<a href="https://e.example/">e</a>'
    )
    assert remote_content(html) == {"a.example": 2, "b.example": 1, "c.example": 1}
