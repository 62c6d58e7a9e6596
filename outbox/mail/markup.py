"""Make untrusted HTML well-nested and limit it, before a parser builds a tree of it.

Browsers repair bad nesting by cloning elements, and parsers that do the same (html5ever in nh3) can
turn 20 KB into 300 MB, or take minutes for deep nesting. So tags are closed here in linear time.
Attributes are not judged: that is nh3's task.
"""

import re
from collections import Counter
from collections.abc import Iterator, Set

MAX_HTML = 500_000  # characters that are read
MAX_NESTING = 250
MAX_ATTRIBUTES = 40  # of one tag

_BETWEEN = r"[\s/=]*+"
_ATTRIBUTE = r"""[^\s=>/]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?+"""
_TOKEN = re.compile(
    rf"""
    <!--.*?(?:-->|\Z)
  | <(?P<close>/?)(?P<tag>[a-zA-Z][^\s/>]*+)
     (?P<attributes>(?:{_BETWEEN}{_ATTRIBUTE})*+){_BETWEEN}(?:>|\Z)
  | <[!?/][^>]*+>?
  | (?P<text>[^<]++|<(?![a-zA-Z!?/]))
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME_AND_VALUE = re.compile(r"""([^\s=>/]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>]*+)))?+""")
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z-]{0,30}")
_VOID = frozenset({"br", "col", "hr", "img", "wbr"})
# Elements whose content is not readable text, and is removed with them.
_RAW = frozenset(
    {"iframe", "math", "noembed", "noframes", "script", "style", "svg", "template", "textarea",
     "title", "xmp"}
)  # fmt: skip

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CELLS = frozenset({"td", "th", "caption"})
_ROWS = _CELLS | {"tr", "colgroup"}
_CLOSE_P = _HEADINGS | {
    "address", "blockquote", "center", "div", "dl", "figcaption", "figure", "hr", "ol", "p",
    "pre", "table", "ul",
}  # fmt: skip
# The open elements that the start of another one ends (HTML's optional end tags), and the elements
# beyond which they are not looked for.
_ENDS: dict[str, Set[str]] = {
    **dict.fromkeys(_CLOSE_P, frozenset({"p"})),
    **dict.fromkeys(_HEADINGS, _HEADINGS | {"p"}),
    "a": frozenset({"a"}),
    "li": frozenset({"li", "p"}),
    "dt": frozenset({"dt", "dd", "p"}),
    "dd": frozenset({"dt", "dd", "p"}),
    **dict.fromkeys(_CELLS | {"col"}, _CELLS),
    **dict.fromkeys(("tr", "colgroup"), _ROWS),
    **dict.fromkeys(("thead", "tbody", "tfoot"), _ROWS | {"thead", "tbody", "tfoot"}),
}
_SCOPES: dict[str, Set[str]] = {
    "li": frozenset({"ul", "ol", "table", "td", "th"}),
    "dt": frozenset({"dl", "table", "td", "th"}),
    "dd": frozenset({"dl", "table", "td", "th"}),
    **dict.fromkeys(_ROWS | {"col", "thead", "tbody", "tfoot"}, frozenset({"table"})),
}
_SCOPE = frozenset({"table", "td", "th", "caption"})


def well_nested(html: str, tags: Set[str]) -> str:
    """Return HTML with the given tags only, each closed; the text in other tags is kept."""
    nest = _Nest()
    pieces: list[str] = []
    for close, tag, rest in tokens(html):
        if not tag:
            pieces.append(rest.replace("<", "&lt;").replace(">", "&gt;"))
        elif tag not in tags:
            continue
        elif close:
            pieces.extend(nest.close(tag))
        else:
            pieces.extend(nest.open(tag, _written(rest)))
    pieces.extend(nest.close_all())
    return "".join(pieces)


def tokens(html: str) -> Iterator[tuple[str, str, str]]:
    """Yield ("" or "/", tag, attributes), or ("", "", text), of the first MAX_HTML characters."""
    html = html[:MAX_HTML]
    position = 0
    while match := _TOKEN.match(html, position):
        position = match.end()
        tag = (match["tag"] or "").lower()
        if tag in _RAW and not match["close"]:
            ending = re.compile(rf"</{tag}[\s/>]", re.IGNORECASE).search(html, position)
            position = ending.start() if ending else len(html)
        elif tag:
            yield match["close"], tag, match["attributes"]
        elif match["text"]:
            yield "", "", match["text"]


def attributes(text: str) -> dict[str, str]:
    """Return the attributes of a tag, the first one of each name, with entities unchanged."""
    found: dict[str, str] = {}
    for match in _NAME_AND_VALUE.finditer(text):
        name = match[1].lower()
        if _ATTRIBUTE_NAME.fullmatch(name):
            found.setdefault(name, match[2] or match[3] or match[4] or "")
        if len(found) == MAX_ATTRIBUTES:
            break
    return found


def _written(text: str) -> str:
    """Return the attributes, each once, in double quotes."""
    found = attributes(text)
    return "".join(f' {name}="{_quotable(value)}"' for name, value in found.items())


def _quotable(value: str) -> str:
    return value.replace('"', "&quot;").replace("<", "&lt;")


class _Nest:
    """The stack of open elements."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._too_deep: Counter[str] = Counter()  # omitted tags, whose end tags are omitted, too

    def open(self, tag: str, attributes: str) -> Iterator[str]:
        while self._ended_by(tag):
            yield from self._close_to(self._ended_by(tag))
        if tag in _VOID:
            yield f"<{tag}{attributes}>"
        elif len(self._open) == MAX_NESTING:
            self._too_deep[tag] += 1
        else:
            self._open.append(tag)
            yield f"<{tag}{attributes}>"

    def close(self, tag: str) -> Iterator[str]:
        if self._too_deep[tag]:
            self._too_deep[tag] -= 1
        elif tag in self._open:
            yield from self._close_to(tag)

    def close_all(self) -> Iterator[str]:
        while self._open:
            yield f"</{self._open.pop()}>"

    def _ended_by(self, tag: str) -> str:
        """Return the nearest open element that the start of this tag ends, or ""."""
        ended = _ENDS.get(tag, frozenset())
        scope = _SCOPES.get(tag, _SCOPE)
        for name in reversed(self._open) if ended else ():
            if name in ended:
                return name
            if name in scope:
                break
        return ""

    def _close_to(self, tag: str) -> Iterator[str]:
        while True:
            name = self._open.pop()
            yield f"</{name}>"
            if name == tag:
                return
