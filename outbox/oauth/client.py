"""What a token request needs to know of this installation."""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from outbox.net import is_public

TIMEOUT = 20.0  # seconds for a whole request


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The registered client, and how its requests are sent."""

    client_id: str
    secret: str = field(default="", repr=False)
    is_allowed: Callable[[str], bool] = is_public  # which addresses may be contacted
    resolve: Callable[[str], Iterable[str]] | None = None
    context: ssl.SSLContext | None = None
    seconds: float = TIMEOUT
    allow_http: bool = False  # for a provider on this host, in tests
