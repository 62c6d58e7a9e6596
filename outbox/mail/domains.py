"""Domain names as DNS and SMTP write them."""

import re

import idna

_DOT = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 3.1


def to_a_labels(domain: str) -> str:
    """Return the domain in A-labels (RFC 5891). Raise UnicodeError if it has none.

    A label that IDNA 2008 forbids, such as a heart, may still be registered: it is converted as
    IDNA 2003 does, which is also how Django converts it.
    """
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:  # a UnicodeError
        labels = _DOT.split(domain)
        if not all(labels):
            raise
        return ".".join(map(_to_a_label, labels))


def _to_a_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.encode(label, uts46=True).decode("ascii")
    except idna.IDNAError:
        return label.encode("idna").decode("ascii")
