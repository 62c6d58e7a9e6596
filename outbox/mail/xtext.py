"""Encodings of addresses and ids in delivery status notifications and their SMTP parameters."""

import re

_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")  # "+" and "=" are the two printable ones (RFC 3461 4)
_NOT_UTF8_XTEXT = re.compile(r"[^!-*,-<>-\[\]-~]")  # the backslash as well (RFC 6533 3)


def xtext(text: str) -> str:
    """Return ASCII text encoded as xtext (RFC 3461 4)."""
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)


def utf8_xtext(text: str) -> str:
    """Return text encoded as utf-8-addr-xtext, which is ASCII (RFC 6533 3)."""
    return _NOT_UTF8_XTEXT.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", text)
