"""The controls of the composer's form, read from the page as a browser fills them."""

from html.parser import HTMLParser
from typing import Any


def controls_of(page: str) -> dict[str, Any]:
    """Return name and value of each control of the composer, buttons and files left out.

    A name that occurs several times has the list of its values.
    """
    reader = _FormReader()
    reader.feed(page)
    for name, values in reader.repeated.items():
        if len(values) > 1:
            reader.values[name] = values
    return reader.values


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self.repeated: dict[str, list[str]] = {}
        self._inside = False
        self._area: str | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = dict(attrs)
        name = at.get("name") or ""
        if tag == "form":
            self._inside = at.get("id") == "compose"
        if not self._inside:
            return
        match tag:
            case "input" if at.get("type") == "checkbox":
                if "checked" in at:
                    self.values[name] = at.get("value") or "on"
            case "input" if at.get("type") != "file":
                self.values[name] = at.get("value") or ""
                self.repeated.setdefault(name, []).append(at.get("value") or "")
            case "textarea":
                self._area = name
                self.values[name] = ""
            case "select":
                self._select = name
            case "option" if "selected" in at:
                self.values[self._select] = at.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        if tag == "textarea" and self._area:
            self.values[self._area] = self.values[self._area].removeprefix("\r").removeprefix("\n")
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] += data
