"""Convert clean HTML to text, with line breaks, list markers and indentation."""

import re
from html.parser import HTMLParser

_RULE = "-" * 20
_NUMBER = re.compile(r"[0-9]{1,6}")
_MAX_INDENT = 20  # levels of lists and quotes; a message may nest without a limit

_SPACED = {"blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
_BLOCKS = _SPACED | {
    "address", "caption", "center", "dd", "div", "dt", "figcaption", "figure", "hr", "li", "tr",
}  # fmt: skip


def read_text(html: str) -> str:
    """Return the text of cleaned HTML: paragraphs, list markers, quotes, links."""
    reader = _TextReader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line: list[str] = []
        self._mark = ""  # of a list item, until its first line
        self._wants_gap = False  # an empty line before the next
        self._lists: list[int | None] = []  # the next number, or None for bullets
        self._links: list[tuple[str, int]] = []  # URL and position in the line of open links
        self._quotes = self._last_quotes = 0
        self._pre = 0

    def text(self) -> str:
        self._end_block()
        return "\n".join(self._lines) + "\n" if self._lines else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _BLOCKS:
            self._start_block(tag, values.get("start", ""))
        match tag:
            case "br":
                self._end_line()
            case "hr":
                self._line = [_RULE]
                self._end_line()
            case "img" if values.get("alt"):
                self._line.append(f"[{values['alt']}]")
            case "a":
                self._links.append((values.get("href", ""), len(self._line)))
            case "td" | "th" if self._line:
                self._line.append("  ")

    def _start_block(self, tag: str, start: str) -> None:
        self._end_block()
        self._wants_gap |= tag in _SPACED and not self._lists
        match tag:
            case "ol" | "ul":
                first = int(start) if _NUMBER.fullmatch(start) else 1
                self._lists.append(first if tag == "ol" else None)
            case "li":
                self._mark = self._list_mark()
            case "blockquote":
                self._quotes += 1
            case "pre":
                self._pre += 1

    def _list_mark(self) -> str:
        indent = "  " * (min(len(self._lists), _MAX_INDENT) - 1)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            self._end_link(*self._links.pop())
        if tag not in _BLOCKS:
            return
        self._end_block()
        match tag:
            case "li" if self._mark:
                self._end_line()
            case "ol" | "ul" if self._lists:
                self._lists.pop()
            case "blockquote":
                self._quotes -= 1
            case "pre":
                self._pre -= 1
        self._wants_gap |= tag in _SPACED and not self._lists

    def _end_link(self, href: str, start: int) -> None:
        shown = "".join(self._line[start:]).strip()
        if href and shown not in {href, href.removeprefix("mailto:")}:
            self.handle_data(f" <{href}>" if shown else f"<{href}>")

    def handle_data(self, data: str) -> None:
        if self._pre:
            *lines, rest = data.split("\n")
            for line in lines:
                self._line.append(line)
                self._end_line()
            self._line.append(rest)
            return
        text = re.sub(r"[ \t\r\n\f]+", " ", data)
        if not self._line or self._line[-1].endswith(" "):
            text = text.lstrip(" ")
        if text:
            self._line.append(text)

    def _end_block(self) -> None:
        if any(map(str.strip, self._line)):
            self._end_line()
        self._line = []

    def _end_line(self) -> None:
        if self._wants_gap and self._lines:
            self._lines.append(_quote_mark(min(self._last_quotes, self._quotes)).rstrip())
        line = _quote_mark(self._quotes) + self._mark + "".join(self._line)
        self._lines.append(line.rstrip())
        self._line = []
        self._mark = ""
        self._wants_gap = False
        self._last_quotes = self._quotes


def _quote_mark(depth: int) -> str:
    return "> " * min(depth, _MAX_INDENT)
