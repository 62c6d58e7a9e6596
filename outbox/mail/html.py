"""HTML of mails: as text, cleaned for composing, and cleaned for looking at a stranger's mail.

All cleaning is an allow-list of nh3. What a preview keeps can fetch nothing: pictures come from
the message itself as `data:`, remote ones are left out and their hosts named.
It does not rely on the page's CSP or on the frame's sandbox; those come on top.
"""

import base64
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urlsplit

import nh3

MAX_HTML = 2_000_000  # characters; what is longer is cut before it is parsed

_TAGS = {
    "a", "abbr", "address", "b", "blockquote", "br", "caption", "center", "cite", "code", "col",
    "colgroup", "dd", "del", "div", "dl", "dt", "em", "figcaption", "figure", "font", "h1", "h2",
    "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "ol", "p", "pre", "q", "s",
    "samp", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot",
    "th", "thead", "tr", "u", "ul", "var",
}  # fmt: skip
_GONE_WITH_CONTENT = {"script", "style", "title", "template", "noscript", "svg", "math", "iframe",
                      "object", "select", "textarea", "xmp", "noembed", "noframes"}  # fmt: skip
_ATTRIBUTES = {
    "*": {"style", "dir", "lang", "title", "align", "valign", "bgcolor", "width", "height"},
    "a": {"href"},
    "col": {"span"},
    "colgroup": {"span"},
    "font": {"color", "face", "size"},
    "img": {"src", "alt", "border"},
    "li": {"value"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
_STYLES = {
    "background-color", "border", "border-bottom", "border-collapse", "border-color",
    "border-left", "border-radius", "border-right", "border-spacing", "border-style", "border-top",
    "border-width", "color", "direction", "display", "font", "font-family", "font-size",
    "font-style", "font-weight", "height", "letter-spacing", "line-height", "list-style-type",
    "margin", "margin-bottom", "margin-left", "margin-right", "margin-top", "max-width",
    "min-width", "padding", "padding-bottom", "padding-left", "padding-right", "padding-top",
    "text-align", "text-decoration", "text-indent", "text-transform", "vertical-align",
    "white-space", "width", "word-break",
}  # fmt: skip
_FETCHING_STYLE = re.compile(r"[(\\@]|/\*")  # url(), image-set(), escapes: none is needed
_PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_DATA_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*")
_CSS_URL = re.compile(r"url\(\s*[\"']?\s*((?:https?:)?//[^\s\"')]+)", re.IGNORECASE)


def clean_html(html: str) -> str:
    """Keep what a composed mail may hold: no script, no form, links of known schemes."""

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "style" and _FETCHING_STYLE.search(value):
            return None
        scheme = value.strip().partition(":")[0].lower()
        if attribute == "src":
            return value if scheme in {"cid", "https", "http"} else None
        if attribute == "href":
            return value if scheme in {"https", "http", "mailto", "tel"} else None
        return value

    return nh3.clean(
        html[:MAX_HTML],
        tags=_TAGS,
        clean_content_tags=_GONE_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=keep,
        filter_style_properties=_STYLES,
        url_schemes={"cid", "https", "http", "mailto", "tel"},
        url_relative="deny",
    )


def clean_for_preview(html: str, cid_map: Mapping[str, tuple[str, bytes]]) -> tuple[str, list[str]]:
    """Clean a stranger's HTML so that showing it fetches nothing; name the hosts it would ask.

    `cid_map` goes from content id, bare, to content type and bytes.
    """
    blocked: set[str] = set()

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "style":
            return None if _FETCHING_STYLE.search(value) else value
        if attribute in {"src", "background"}:
            return _picture(value, cid_map, blocked)
        return value

    for match in _CSS_URL.finditer(html[:MAX_HTML]):
        _note_host(match[1], blocked)
    cleaned = nh3.clean(
        html[:MAX_HTML],
        tags=_TAGS,
        clean_content_tags=_GONE_WITH_CONTENT,
        attributes=_ATTRIBUTES | {"*": _ATTRIBUTES["*"] | {"background"}},
        attribute_filter=keep,
        filter_style_properties=_STYLES,
        url_schemes={"cid", "data", "https", "http", "mailto"},
        url_relative="deny",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
    )
    return cleaned, sorted(blocked)


def _picture(url: str, cid_map: Mapping[str, tuple[str, bytes]], blocked: set[str]) -> str | None:
    url = url.strip()
    if url.lower().startswith("cid:"):
        content_type, data = cid_map.get(url[4:], ("", b""))
        if content_type.lower() not in _PICTURE_TYPES:
            return None
        return f"data:{content_type.lower()};base64,{base64.b64encode(data).decode('ascii')}"
    if _DATA_PICTURE.fullmatch(url):
        return url
    _note_host(url, blocked)
    return None


def _note_host(url: str, blocked: set[str]) -> None:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if host:
        blocked.add(host)


# --- text of HTML --------------------------------------------------------------------------------

_SPACED = {"blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
_BLOCKS = _SPACED | {
    "address", "caption", "center", "dd", "div", "dt", "figcaption", "figure", "hr", "li", "tr",
}  # fmt: skip


def html_to_text(html: str) -> str:
    """Write the readable text: paragraphs, list marks, quotes, and links as `text <url>`."""
    # nh3 first: it leaves well-formed HTML, on which HTMLParser takes linear time.
    reader = _TextReader()
    reader.feed(clean_html(html))
    reader.close()
    return reader.text()


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line = ""
        self._lists: list[int] = []  # 0 for bullets, else the last number given
        self._links: list[tuple[str, int]] = []
        self._quotes = 0
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _BLOCKS:
            self._break(spaced=tag in _SPACED and not self._lists)
        if tag == "br":
            self._end_line()
        elif tag == "hr":
            self._line = "-" * 20
            self._break(spaced=False)
        elif tag == "img" and values.get("alt"):
            self._line += f"[{values['alt']}]"
        elif tag == "a":
            self._links.append((values.get("href", ""), len(self._line)))
        elif tag in {"ol", "ul"}:
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "li":
            self._item()
        elif tag in {"td", "th"} and self._line.strip():
            self._line += "  "
        self._quotes += tag == "blockquote"
        self._pre += tag == "pre"

    def _item(self) -> None:
        if not self._lists:
            self._lists.append(0)
        mark = "-"
        if self._lists[-1]:
            mark = f"{self._lists[-1]}."
            self._lists[-1] += 1
        self._line = "  " * (len(self._lists) - 1) + mark + " "

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            self._close_link(*self._links.pop())
        if tag in _BLOCKS:
            self._break(spaced=False)
        if tag in {"ol", "ul"} and self._lists:
            self._lists.pop()
        if tag in _SPACED and not self._lists:
            self._break(spaced=True)
        self._quotes -= tag == "blockquote"
        self._pre -= tag == "pre"

    def _close_link(self, href: str, start: int) -> None:
        shown = self._line[start:].strip()
        if not href or href.removeprefix("mailto:") == shown:
            return
        self._line = f"{self._line.rstrip()} <{href}>" if shown else f"{self._line}<{href}>"

    def handle_data(self, data: str) -> None:
        if self._pre:
            first, *others = data.split("\n")
            self._line += first
            for line in others:
                self._end_line()
                self._line = line
            return
        text = re.sub(r"[ \t\r\n\f]+", " ", data)
        if not self._line or self._line.endswith(" "):
            text = text.lstrip(" ")
        self._line += text

    def _break(self, *, spaced: bool) -> None:
        if self._line.strip():
            self._end_line()
        self._line = ""
        if spaced and self._lines and self._lines[-1].strip("> "):
            self._lines.append("> " * self._quotes)

    def _end_line(self) -> None:
        self._lines.append(("> " * self._quotes + self._line).rstrip())
        self._line = ""

    def text(self) -> str:
        self._break(spaced=False)
        text = "\n".join(line.rstrip() for line in self._lines)
        return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"
