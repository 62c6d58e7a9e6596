"""The listings of a mailbox: sizes (LIST) and unique ids (UIDL), by message number."""

import re
from collections import Counter
from collections.abc import Iterable

_SIZE = re.compile(rb"[ \t]{0,9}(\d{1,9})[ \t]{1,9}(\d{1,15})(?![^ \t])")
_COUNT = re.compile(r"(\d{1,6})(?!\d)", re.ASCII)
_UID = re.compile(rb"[ \t]{0,9}(\d{1,9})[ \t]{1,9}([!-~]{1,70})[ \t]*+$")  # RFC 1939 7


def read_sizes(lines: Iterable[bytes]) -> dict[int, int]:
    """Return the size of each message. Sizes are hints: servers count line ends differently."""
    found = (_SIZE.match(line) for line in lines)
    return {int(match[1]): int(match[2]) for match in found if match and int(match[1])}


def read_uids(lines: Iterable[bytes]) -> dict[int, str]:
    """Return the unique id of each message. Messages that share one, or have none, are left out."""
    found = (_UID.match(line) for line in lines)
    uids = {int(match[1]): match[2].decode("ascii") for match in found if match and int(match[1])}
    counts = Counter(uids.values())
    return {number: uid for number, uid in uids.items() if counts[uid] == 1}


def read_count(text: str) -> int:
    """Return the number of messages in the response to STAT (RFC 1939 5); 0 if it has none."""
    found = _COUNT.match(text)
    return int(found[1]) if found else 0
