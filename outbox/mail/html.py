"""HTML of messages: converted to text, cleaned for composing, and cleaned for previews.

All cleaning uses an allow-list of nh3. A cleaned preview cannot fetch anything: pictures come from
the message itself as `data:`, remote ones are removed and their hosts reported. This does not rely
on the page's CSP or on the frame's sandbox, which are further layers.
"""

import base64
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from html import unescape
from urllib.parse import unquote, urlsplit

import nh3

from outbox.exceptions import TranslatableError
from outbox.mail.html_text import read_text
from outbox.mail.markers import Markers
from outbox.mail.markup import MAX_HTML, attributes, tokens, well_nested
from outbox.texts import gettext_noop

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
_MAX_PICTURES = 10_000_000  # bytes of all pictures in one preview
# Other sources from which a message would fetch; their hosts are only reported.
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
_TEMPLATE_PLACEHOLDER = re.compile(r"\{\{(?:(?!\{\{|\}\}).)*+\}\}")


_TOO_LONG = gettext_noop("the HTML has more than %(count)s characters")


class HtmlTooLongError(TranslatableError, ValueError):
    """A composed message has too much HTML; it is not truncated silently."""


def clean_html(html: str) -> str:
    """Return composed HTML without scripts, forms, and links of unknown schemes.

    Raise HtmlTooLongError for more than MAX_HTML characters.
    """
    if len(html) > MAX_HTML:
        raise HtmlTooLongError(_TOO_LONG, count=MAX_HTML)
    return _composed(html)


def clean_template(html: str) -> tuple[str, list[str]]:
    """Return a template's HTML, cleaned, and the placeholders that were removed.

    Placeholders are allowed in text, in the URL of a link or picture, and in the value of a style.
    Their values may be anything, so the HTML that a template produces is cleaned again. Raise
    HtmlTooLongError for more than MAX_HTML characters.
    """
    if len(html) > MAX_HTML:
        raise HtmlTooLongError(_TOO_LONG, count=MAX_HTML)
    markers = Markers(html)
    cleaned = _cleaned(markers.replace(_TEMPLATE_PLACEHOLDER, html), markers.prefix)
    return markers.restore(cleaned), markers.missing_from(cleaned)


def unusable_addresses(html: str) -> list[str]:
    """Return the URLs of links and pictures that `clean_html` would remove."""
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
    """Clean composed HTML, which may contain placeholders without a value."""
    markers = Markers(html)
    return markers.restore(_cleaned(markers.replace(_PLACEHOLDER, html), markers.prefix))


def _cleaned(html: str, mark: str) -> str:
    return nh3.clean(
        well_nested(html, _TAGS),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=partial(_keep_composed, mark),
        filter_style_properties=_STYLES,
        url_schemes={"cid", "https", "http", "mailto", "tel"},
        url_relative="pass_through",  # the filter removes those that do not start with a marker
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
    """Leave out every declaration with a function, such as url(), but those of colors and sums.

    A function has its "(" in plain sight, whatever escapes and comments do to its name.
    """
    return ";".join(part for part in style.split(";") if "(" not in _FUNCTIONS.sub("", part))


def clean_for_preview(
    documents: str | Sequence[str],
    cid_map: Mapping[str, tuple[str, bytes]],
    *,
    keeps_remote: bool = False,
) -> tuple[str, list[str]]:
    """Return HTML that fetches nothing when displayed, and the hosts that it would have contacted.

    With `keeps_remote` it fetches its remote pictures, and nothing else.

    Several documents are cleaned separately, so that an unclosed tag of one does not hide another.
    `cid_map` maps bare content ids to content type and bytes.
    """
    cleaned, hosts = _for_preview(documents, cid_map, keeps_remote=keeps_remote)
    return cleaned, sorted(hosts)


def remote_content(documents: str | Sequence[str]) -> Counter[str]:
    """Return how often displaying the original HTML would contact each host."""
    return _for_preview(documents, {})[1]


def _for_preview(
    documents: str | Sequence[str],
    cid_map: Mapping[str, tuple[str, bytes]],
    *,
    keeps_remote: bool = False,
) -> tuple[str, Counter[str]]:
    preview = _Preview(cid_map, keeps_remote=keeps_remote)
    cleaned: list[str] = []
    written: Counter[str] = Counter()
    room = MAX_HTML
    for document in [documents] if isinstance(documents, str) else documents:
        kept = document[:room]
        room -= len(kept)
        cleaned.append(preview.cleaned(kept))
        written.update(filter(None, map(_host, _REMOTE.findall(kept))))
    # A picture may be found both ways: use the larger count.
    return "\n".join(cleaned), written | preview.hosts


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Preview:
    """The pictures of one preview, and the hosts of those that were removed."""

    def __init__(self, cid_map: Mapping[str, tuple[str, bytes]], *, keeps_remote: bool) -> None:
        self.hosts: Counter[str] = Counter()
        self._keeps_remote = keeps_remote
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
            is_remote = url.lower().startswith(("https://", "http://"))
            return url if host and is_remote and self._keeps_remote else None
        if _DATA_PICTURE.fullmatch(url):
            return url
        content_type, data = self._cid_map.get(unquote(url[len("cid:") :]), ("", b""))
        self._room -= len(data)
        if content_type not in PICTURE_TYPES or self._room < 0:
            return None
        return f"data:{content_type};base64,{base64.b64encode(data).decode('ascii')}"


def without_picture(html: str, content_id: str) -> str:
    """Return cleaned HTML without the pictures of a content id."""
    source = re.escape(f'src="cid:{content_id}"')
    return re.sub(rf"<img{ATTRIBUTES_OF_ONE}\s{source}{ATTRIBUTES_OF_ONE}>", "", html)


def without_remote_pictures(html: str) -> tuple[str, int]:
    """Return cleaned HTML without the pictures that a browser would fetch, and their number."""
    remote = rf'<img{ATTRIBUTES_OF_ONE}\ssrc="https?:[^"]*+"{ATTRIBUTES_OF_ONE}>'
    return re.subn(remote, "", html, flags=re.IGNORECASE)


def html_to_text(html: str) -> str:
    """Return HTML as text: paragraphs, list markers, quotes, and links as `text <url>`.

    Only the first MAX_HTML characters are read.
    """
    # Cleaned first, because HTMLParser takes linear time on well-formed HTML only.
    return read_text(_composed(html))
