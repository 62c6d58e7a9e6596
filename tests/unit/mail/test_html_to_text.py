"""The readable text of HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.html import html_to_text

READ = {
    "nothing": ("", ""),
    "bare": ("Hello  <b>Bob</b>\n!", "Hello Bob !\n"),
    "paragraphs": ("<p>a</p><p>b<br>c</p>", "a\n\nb\nc\n"),
    "lines of an editor": ("<div>a</div><div>b</div><div><br></div><div>c</div>", "a\nb\n\nc\n"),
    "headings": ("<h1>Title</h1>text", "Title\n\ntext\n"),
    "link": ('See <a href="https://x.org/a">the page</a>.', "See the page <https://x.org/a>.\n"),
    "link as its text": ('<a href="https://x.org/">https://x.org/</a>', "https://x.org/\n"),
    "mail link": ('<a href="mailto:a@x.org">a@x.org</a>', "a@x.org\n"),
    "link around a picture": ('<a href="https://x.org/"><img src="cid:a"></a>', "<https://x.org/>\n"),
    "link over lines": ('<a href="https://x.org/">a<br>b</a>', "a\nb <https://x.org/>\n"),
    "picture": ('<img src="cid:a" alt="Logo"> x', "[Logo] x\n"),
    "bullets": ("a<ul><li>b<li>c</ul>d", "a\n\n- b\n- c\n\nd\n"),
    "numbers": ("<ol><li>a<li>b</ol>", "1. a\n2. b\n"),
    "numbers from three": ('<ol start="3"><li>a<li>b</ol>', "3. a\n4. b\n"),
    "numbers from nowhere": ('<ol start="x"><li>a</ol>', "1. a\n"),
    "lists in lists": ("<ul><li>a<ol><li>b<li>c</ol><li>d</ul>", "- a\n  1. b\n  2. c\n- d\n"),
    "paragraphs in lists": ("<ul><li><p>a</p></li><li><p>b</p></li></ul>", "- a\n- b\n"),
    "quote": ("a<blockquote>b<br>c<p>d</p></blockquote>e", "a\n\n> b\n> c\n>\n> d\n\ne\n"),
    "quotes in quotes": ("<blockquote>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b\n"),
    "pre": ("<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc\n"),
    "table": ("<table><tr><td>a<td>b<tr><td>c</table>", "a  b\nc\n"),
    "rule": ("a<hr>b", "a\n--------------------\nb\n"),
    "entities": ("&lt;b&gt; &amp;amp; &nbsp;&euro;", "<b> &amp; \xa0€\n"),
    "script and style": ("a<script>b</script><style>c</style><!-- d -->e", "ae\n"),
}  # fmt: skip


@pytest.mark.parametrize(("html", "text"), READ.values(), ids=READ)
def test_it_reads_as_people_would(html: str, text: str) -> None:
    """Protocol item 14."""
    assert html_to_text(html) == text


@given(st.text(alphabet=st.sampled_from("ab \n&;")))
def test_words_of_plain_text_all_arrive(text: str) -> None:
    assert html_to_text(text.replace("&", "&amp;")).split() == text.split()
