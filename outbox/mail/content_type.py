"""The content type that a caller gives for a file, validated and formatted for a header.

Everything that RFC 2045 5.1 allows is accepted: quoted parameters, any case, and comments, which
are dropped. Missing quotes are added, and values outside ASCII are encoded (RFC 2231).
"""

import re
from collections.abc import Mapping
from functools import cache

from outbox.mail.header_writer import HeaderError, parameter
from outbox.texts import gettext_noop

MAX_CONTENT_TYPE = 255  # characters; the size of the column of a draft
_TOKEN = r"[A-Za-z0-9!#$%&'*+^_`{|}~.-]{1,127}+"  # noqa: S105  # a pattern, not a secret
_NONE_OF = r"\r\n\0\ud800-\udfff"  # characters that headers cannot contain
_PAIR = rf"\\[^{_NONE_OF}]"
_BLANK = rf"(?:[ \t]|\((?:[^{_NONE_OF}\\()]|{_PAIR})*+\))*+"  # and comments
_QUOTED = rf'"(?P<quoted>(?:[^{_NONE_OF}\\"]|{_PAIR})*+)"'
_BARE = rf'(?P<bare>[^{_NONE_OF}\\\s;"()]++)'
_QUOTED_AS_IT_IS = re.compile(r"[ -~]{0,200}")


@cache
def _type_pattern() -> re.Pattern[str]:
    """Return the pattern, which takes milliseconds to compile: every command imports this."""
    return re.compile(rf"{_BLANK}(?P<type>{_TOKEN}/{_TOKEN}){_BLANK}")


@cache
def _parameter_pattern() -> re.Pattern[str]:
    return re.compile(
        rf";{_BLANK}(?:(?P<name>{_TOKEN}){_BLANK}={_BLANK}(?:{_QUOTED}|{_BARE}){_BLANK})?+"
    )


def read_content_type(text: str) -> tuple[str, list[str]]:
    """Return the media type in lower case, and its parameters in the format of a header.

    Raise HeaderError if the text cannot be parsed, or if programs would parse it differently.
    """
    found = _type_pattern().match(text)
    if not found:
        raise _error(text)
    position = found.end()
    written: dict[str, list[str]] = {}
    while position < len(text):
        part = _parameter_pattern().match(text, position)
        if not part:
            raise _error(text)
        position = part.end()
        if name := part["name"]:
            if name.lower() in written:
                template = gettext_noop("%(field)s names the parameter %(name)s twice")
                raise HeaderError("content_type", template, name=name)
            written[name.lower()] = _written(name, part["quoted"], part["bare"])
    return found["type"].lower(), [word for words in written.values() for word in words]


def join_content_type(media_type: str, parameters: Mapping[str, str]) -> str:
    """Return the content type of a received part, as one text, for a file that is forwarded.

    The name is stored separately. Parameters that cannot be written are omitted, and so are those
    of images, which have no meaning.
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
    template = gettext_noop("%(field)s %(type)s is not a type such as “application/pdf”")
    return HeaderError("content_type", template, type=ascii(text[:60]))
