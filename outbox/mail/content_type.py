"""The content type that a caller gives for a file, checked and made ready for a header.

What RFC 2045 5.1 allows is kept: quoted parameters, any case, comments (which are dropped). A value
that only lacks its quotes gets them, and one outside ASCII is written as RFC 2231 has it.
"""

import re
from collections.abc import Mapping

from outbox.mail.headers import HeaderError, parameter

MAX_CONTENT_TYPE = 255  # characters, which a draft stores
_TOKEN = r"[A-Za-z0-9!#$%&'*+^_`{|}~.-]{1,127}+"  # noqa: S105  # a pattern, no secret
_NONE_OF = r"\r\n\0\ud800-\udfff"  # what no header can have
_PAIR = rf"\\[^{_NONE_OF}]"
_BLANK = rf"(?:[ \t]|\((?:[^{_NONE_OF}\\()]|{_PAIR})*+\))*+"  # and comments
_QUOTED = rf'"(?P<quoted>(?:[^{_NONE_OF}\\"]|{_PAIR})*+)"'
_BARE = rf'(?P<bare>[^{_NONE_OF}\\\s;"()]++)'
_TYPE = re.compile(rf"{_BLANK}(?P<type>{_TOKEN}/{_TOKEN}){_BLANK}")
_PARAMETER = re.compile(
    rf";{_BLANK}(?:(?P<name>{_TOKEN}){_BLANK}={_BLANK}(?:{_QUOTED}|{_BARE}){_BLANK})?+"
)
_QUOTED_AS_IT_IS = re.compile(r"[ -~]{0,200}")


def read_content_type(text: str) -> tuple[str, list[str]]:
    """Return the media type in lower case, and its parameters as a header has them.

    Raises HeaderError for what cannot be read, or what two programs would read as two things.
    """
    found = _TYPE.match(text)
    if not found:
        raise _error(text)
    position = found.end()
    written: dict[str, list[str]] = {}
    while position < len(text):
        part = _PARAMETER.match(text, position)
        if not part:
            raise _error(text)
        position = part.end()
        if name := part["name"]:
            if name.lower() in written:
                raise HeaderError("content_type", f"names the parameter {name} twice")
            written[name.lower()] = _written(name, part["quoted"], part["bare"])
    return found["type"].lower(), [word for words in written.values() for word in words]


def join_content_type(media_type: str, parameters: Mapping[str, str]) -> str:
    """Return a type of a received part for a file that is sent on, as one text.

    The name stands elsewhere then. Parameters are left out where they cannot be written, and those
    of pictures, which mean nothing.
    """
    kept = {name: value for name, value in parameters.items() if name not in {"name", "boundary"}}
    if not kept or media_type.startswith("image/"):
        return media_type
    values = {name: re.sub(r'(["\\])', r"\\\1", value) for name, value in kept.items()}
    joined = "; ".join([media_type, *(f'{name}="{value}"' for name, value in values.items())])
    try:
        read_content_type(joined)
    except HeaderError:
        return media_type
    return joined if len(joined) <= MAX_CONTENT_TYPE else media_type


def _written(name: str, quoted: str | None, bare: str | None) -> list[str]:
    if bare is not None and re.fullmatch(_TOKEN, bare):
        return [f"{name}={bare}"]
    value = bare if quoted is None else quoted
    assert value is not None  # one of the two matched
    if _QUOTED_AS_IT_IS.fullmatch(value):
        return [f'{name}="{value}"']
    return parameter(name, value if quoted is None else re.sub(r"\\(.)", r"\1", quoted))


def _error(text: str) -> HeaderError:
    return HeaderError("content_type", f"{text[:60]!a} is not a type such as 'application/pdf'")
