"""The difference between two texts, line by line, and within a line that was edited.

The texts may come from attackers, and difflib takes cubic time in the worst case. So common lines
at both ends are split off first, and at most MAX_LINES of the rest are compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

MAX_LINES = 500  # of each side
CONTEXT = 3  # unchanged lines shown around a change


class Kind(StrEnum):
    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"
    SKIPPED = "skipped"  # unchanged lines that are only counted
    CUT = "cut"  # the rest was not compared


@dataclass(frozen=True, slots=True)
class Row:
    """One line; an edited one has the text in common with its other version in separate fields."""

    kind: Kind
    before: str = ""
    changed: str = ""
    after: str = ""
    count: int = 1  # lines that a SKIPPED row represents

    @property
    def is_touched(self) -> bool:
        """Whether the line has another version, and was not simply removed or added."""
        return bool(self.before or self.after)


def difference(old: Sequence[str], new: Sequence[str]) -> list[Row]:
    """Return the lines of both texts in one order, or [] if the texts are equal."""
    if list(old) == list(new):
        return []
    start = _in_common(old, new)
    end = _in_common(old[start:][::-1], new[start:][::-1])
    left, right = old[start : len(old) - end], new[start : len(new) - end]
    rows = [Row(Kind.SAME, line) for line in old[:start]]
    rows += _changes(left[:MAX_LINES], right[:MAX_LINES])
    if max(len(left), len(right)) > MAX_LINES:
        rows.append(Row(Kind.CUT))
        end = 0
    rows += [Row(Kind.SAME, line) for line in old[len(old) - end :]]
    return list(_near_changes(rows))


def _in_common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return the number of common items at the start."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Row]:
    for tag, a, b, c, d in SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            yield from (Row(Kind.SAME, line) for line in old[a:b])
        elif b - a == d - c:
            pairs = [_touched(*pair) for pair in zip(old[a:b], new[c:d], strict=True)]
            yield from (row for row, _ in pairs)
            yield from (row for _, row in pairs)
        else:
            yield from (Row(Kind.REMOVED, changed=line) for line in old[a:b])
            yield from (Row(Kind.ADDED, changed=line) for line in new[c:d])


def _touched(old: str, new: str) -> tuple[Row, Row]:
    """Return two versions of a line, with their common start and end separated."""
    start = _in_common(old, new)
    end = _in_common(old[start:][::-1], new[start:][::-1])
    if start + end < max(len(old), len(new)) / 3:
        start = end = 0  # a different line
    return _row(Kind.REMOVED, old, start, end), _row(Kind.ADDED, new, start, end)


def _row(kind: Kind, line: str, start: int, end: int) -> Row:
    stop = len(line) - end
    return Row(kind, line[:start], line[start:stop], line[stop:])


def _near_changes(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows near a change; count the others."""
    changed = [at for at, row in enumerate(rows) if row.kind is not Kind.SAME]
    near = {place for at in changed for place in range(at - CONTEXT, at + CONTEXT + 1)}
    skipped = 0
    for at, row in enumerate(rows):
        if at not in near:
            skipped += 1
            continue
        if skipped:
            yield Row(Kind.SKIPPED, count=skipped)
        skipped = 0
        yield row
    if skipped:
        yield Row(Kind.SKIPPED, count=skipped)
