"""HTML of mails: as text, cleaned for composing, and cleaned for looking at a stranger's mail.

All cleaning is an allow-list of nh3. What a preview keeps can fetch nothing: pictures come from
the message itself as `data:`, remote ones are left out and their hosts named.
It does not rely on the page's CSP or on the frame's sandbox; those come on top.
"""

import base64
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from html import unescape
from urllib.parse import unquote, urlsplit

import nh3

from outbox.mail.html_text import read_text
from outbox.mail.markup import MAX_HTML, attributes, tokens, well_nested
from outbox.mail.shields import Shield

_TAGS = {
    "a", "abbr", "address", "b", "blockquote", "br", "caption", "center", "cite", "code", "col",
    "colgroup", "dd", "del", "div", "dl", "dt", "em", "figcaption", "figure", "font", "h1", "h2",
    "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "ol", "p", "pre", "q", "s",
    "samp", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot",
    "th", "thead", "tr", "u", "ul", "var",
}  # fmt: skip
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
_FUNCTIONS = re.compile(r"(?<![\\\w-])(?:rgba?|hsla?|calc)\([^()]*\)", re.IGNORECASE)
PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
ATTRIBUTES_OF_ONE = r'(?:[^<>"]|"[^"]*+")*?'
_DATA_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*+")
_MAX_PICTURES = 10_000_000  # bytes of all pictures put into one preview
# Where else than in a kept attribute a mail would fetch from: what becomes of it is only named.
_REMOTE = re.compile(
    r"""(?:\b(?:src|srcset|background|poster)\s*+=|\burl\(|\@import\b)
        \s*+["']?\s*+ ((?:https?:)?//[^\s"'>)]++)""",
    re.IGNORECASE | re.VERBOSE,
)


_ADDRESS_OF = {"a": "href", "img": "src"}
_SCHEMES = {
    "href": {"https", "http", "mailto", "tel"},
    "src": {"cid", "https", "http"},
}
# Letters only: in an attribute of a composed message, a quote in it would end the attribute.
_PLACEHOLDER = re.compile(r"\{\{ ?[A-Za-z_]\w*+ ?\}\}")
_TEMPLATE_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")


class HtmlTooLongError(ValueError):
    """A composed mail has more HTML than is cleaned; nothing of it is cut silently."""


def clean_html(html: str) -> str:
    """Keep what a composed mail may hold: no script, no form, links of known schemes.

    Raises HtmlTooLongError over MAX_HTML characters.
    """
    if len(html) > MAX_HTML:
        raise HtmlTooLongError(f"the HTML has more than {MAX_HTML:,} characters")
    return _composed(html)


def clean_template(html: str) -> tuple[str, list[str]]:
    """Clean a template's HTML; return it with the placeholders that could not be kept.

    A placeholder is kept in text, in the address of a link or picture, and in the value of a style.
    What is filled in can still be anything, so the HTML that a template makes is cleaned again.
    Raises HtmlTooLongError.
    """
    if len(html) > MAX_HTML:
        raise HtmlTooLongError(f"the HTML has more than {MAX_HTML:,} characters")
    shield = Shield(html)
    cleaned = _cleaned(shield.replace(_TEMPLATE_PLACEHOLDER, html), shield.mark)
    return shield.restore(cleaned), shield.missing_from(cleaned)


def unusable_addresses(html: str) -> list[str]:
    """Return the addresses of links and pictures that `clean_html` would drop."""
    found = []
    for close, tag, rest in tokens(html):
        name = _ADDRESS_OF.get(tag)
        if name is None or close:
            continue
        value = unescape(attributes(rest).get(name, "")).strip()
        kept = _PLACEHOLDER.match(value) or _keep_composed("", tag, name, value)
        if value and not kept:
            found.append(value)
    return found


def _composed(html: str) -> str:
    """Clean composed HTML, in which a placeholder may be left that was not filled in."""
    shield = Shield(html)
    return shield.restore(_cleaned(shield.replace(_PLACEHOLDER, html), shield.mark))


def _cleaned(html: str, mark: str) -> str:
    return nh3.clean(
        well_nested(html, _TAGS),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=partial(_keep_composed, mark),
        filter_style_properties=_STYLES,
        url_schemes={"cid", "https", "http", "mailto", "tel"},
        url_relative="pass_through",  # the filter keeps none but those that begin with a mark
    )


def _keep_composed(mark: str, _tag: str, attribute: str, value: str) -> str | None:
    if attribute == "style":
        return _harmless_style(value)
    if attribute not in _SCHEMES:
        return value
    address = value.strip()
    is_marked = bool(mark) and address.startswith(mark)
    scheme = address.partition(":")[0].lower()
    return address if is_marked or scheme in _SCHEMES[attribute] else None


def _harmless_style(style: str) -> str:
    """Leave out every declaration with a function, such as url(), but those of colours and sums.

    A function has its "(" in plain sight, whatever escapes and comments do to its name.
    """
    return ";".join(part for part in style.split(";") if "(" not in _FUNCTIONS.sub("", part))


def clean_for_preview(
    documents: str | Sequence[str], cid_map: Mapping[str, tuple[str, bytes]]
) -> tuple[str, list[str]]:
    """Clean a stranger's HTML so that showing it fetches nothing; name the hosts it would ask.

    Of several documents each is cleaned by itself: what the first leaves open hides nothing of the
    next. `cid_map` goes from content id, bare, to content type and bytes.
    """
    cleaned, hosts = _for_preview(documents, cid_map)
    return cleaned, sorted(hosts)


def remote_content(documents: str | Sequence[str]) -> Counter[str]:
    """Count by host what showing the HTML as it came would fetch."""
    return _for_preview(documents, {})[1]


def _for_preview(
    documents: str | Sequence[str], cid_map: Mapping[str, tuple[str, bytes]]
) -> tuple[str, Counter[str]]:
    preview = _Preview(cid_map)
    cleaned: list[str] = []
    written: Counter[str] = Counter()
    room = MAX_HTML
    for document in [documents] if isinstance(documents, str) else documents:
        kept = document[:room]
        room -= len(kept)
        cleaned.append(preview.cleaned(kept))
        written.update(filter(None, map(_host, _REMOTE.findall(kept))))
    # A picture is found both ways: the larger count.
    return "\n".join(cleaned), written | preview.hosts


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Preview:
    """What one preview puts in, and what it leaves out."""

    def __init__(self, cid_map: Mapping[str, tuple[str, bytes]]) -> None:
        self.hosts: Counter[str] = Counter()
        self._cid_map = cid_map
        self._room = _MAX_PICTURES

    def cleaned(self, document: str) -> str:
        return nh3.clean(
            well_nested(document, _TAGS),
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            attribute_filter=self._keep,
            filter_style_properties=_STYLES,
            url_schemes={"cid", "data", "https", "http", "mailto"},
            url_relative="deny",
            set_tag_attribute_values={"a": {"target": "_blank"}},
            link_rel="noopener noreferrer nofollow",
        )

    def _keep(self, _tag: str, attribute: str, value: str) -> str | None:
        match attribute:
            case "style":
                return _harmless_style(value)
            case "src":
                return self._picture(value.strip())
            case "href":
                return None if value.lower().startswith(("cid:", "data:")) else value
        return value

    def _picture(self, url: str) -> str | None:
        if not url.lower().startswith(("cid:", "data:")):
            if host := _host(url):
                self.hosts[host] += 1
            return None
        if _DATA_PICTURE.fullmatch(url):
            return url
        content_type, data = self._cid_map.get(unquote(url[len("cid:") :]), ("", b""))
        self._room -= len(data)
        if content_type not in PICTURE_TYPES or self._room < 0:
            return None
        return f"data:{content_type};base64,{base64.b64encode(data).decode('ascii')}"


def without_picture(html: str, content_id: str) -> str:
    """Take the pictures of this content id out of HTML that was cleaned."""
    source = re.escape(f'src="cid:{content_id}"')
    return re.sub(rf"<img{ATTRIBUTES_OF_ONE}\s{source}{ATTRIBUTES_OF_ONE}>", "", html)


def html_to_text(html: str) -> str:
    """Write the readable text: paragraphs, list marks, quotes, and links as `text <url>`.

    What is past MAX_HTML characters is left out.
    """
    # Cleaned first: on well-formed HTML HTMLParser takes linear time.
    return read_text(_composed(html))
