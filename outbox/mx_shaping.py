"""The site's own limits for MX sites, which count more than the built-in ones."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from outbox.conf import get_conf
from outbox.net.shaping import Shaping, ShapingError, parse_overrides

_NOTHING: Mapping[str, Shaping] = {}


def overrides_in_force() -> Mapping[str, Shaping]:
    """Return the site's shaping by MX suffix or site key.

    Raise ImproperlyConfigured if the file cannot be read or is invalid.
    """
    path = get_conf().mx_shaping
    overrides, fault = _read(path) if path else (_NOTHING, "")
    if fault:
        raise ImproperlyConfigured(f'OUTBOX["MX_SHAPING"], {path}: {fault}')
    return overrides


def usable_overrides() -> Mapping[str, Shaping]:
    """Return the overrides, or none if the file is invalid.

    A check reports the file. It must not stop a worker.
    """
    try:
        return overrides_in_force()
    except ImproperlyConfigured:
        return _NOTHING


@lru_cache(maxsize=8)
def _read(path: str) -> tuple[Mapping[str, Shaping], str]:
    """Return the overrides of a file, or why it is invalid. It is read once."""
    try:
        return parse_overrides(tomllib.loads(Path(path).read_text("utf-8"))), ""
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ShapingError) as error:
        return _NOTHING, str(error)
