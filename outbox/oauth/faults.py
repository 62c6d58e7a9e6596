"""What the response of a token endpoint means, where it contains no token.

REJECTED. The provider rejected the access: `invalid_grant` and `invalid_client` (RFC 6749 5.2), an
error that says that the user has to sign in or to consent, or the status 401. Another request with
the same values would be rejected as well, so the account is held until a person connects it again
or corrects the client.

UNAVAILABLE. Anything else is the trouble of the service: 408, 429, 5xx, a network fault, an error
page in HTML, a response that is not JSON. The request is repeated later.

Microsoft's errors have a number (AADSTS…) in their description, which says more than `error` does.
See learn.microsoft.com/entra/identity-platform/reference-error-codes.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from outbox.exceptions import OutboxError
from outbox.reasons import Reason, ReasonCode

_UNAUTHORIZED = 401
# The last three are errors of OpenID Connect (Core 3.1.2.6), which Microsoft also sends here.
_REJECTED = frozenset(
    {
        "invalid_grant",
        "invalid_client",
        "interaction_required",
        "consent_required",
        "login_required",
    }
)
_NUMBER = re.compile(r"\bAADSTS(\d{4,8})\b")
_ERROR = re.compile(r"[a-z_]{1,60}")  # as RFC 6749 5.2 spells errors; anything else is not quoted

BY_NUMBER = {
    "50057": Reason(ReasonCode.MICROSOFT_USER_DISABLED),
    "50076": Reason(ReasonCode.MICROSOFT_SIGN_IN_AGAIN),
    "50079": Reason(ReasonCode.MICROSOFT_SIGN_IN_AGAIN),
    "50173": Reason(ReasonCode.MICROSOFT_PASSWORD_CHANGED),
    "65001": Reason(ReasonCode.MICROSOFT_NO_CONSENT),
    "70043": Reason(ReasonCode.MICROSOFT_SIGN_IN_FREQUENCY),
    "700016": Reason(ReasonCode.MICROSOFT_APP_UNKNOWN),
    "700082": Reason(ReasonCode.MICROSOFT_TOKEN_UNUSED),
    "7000215": Reason(ReasonCode.MICROSOFT_SECRET_WRONG),
    "7000222": Reason(ReasonCode.MICROSOFT_SECRET_EXPIRED),
}


class Effect(StrEnum):
    """What a token fault means for the account."""

    UNAVAILABLE = "unavailable"  # the service's trouble: try again later
    REJECTED = "rejected"  # the account is held until a person fixes it


class TokenFault(OutboxError):  # noqa: N818 - not every fault is an error
    """There is no token. The reason is free of secrets."""

    def __init__(self, effect: Effect, reason: Reason, *, wait: float = 0) -> None:
        super().__init__(effect, reason)
        self.effect = effect
        self.reason = reason
        self.wait = wait  # seconds that the service asks for; 0: it does not

    def __str__(self) -> str:
        return str(self.reason)


def fault_of(
    service: str, status: int, content: Mapping[str, Any] | None, *, wait: float = 0
) -> TokenFault:
    """Return the fault of a response. `content` is its JSON; None if it was HTML or invalid."""
    error = str((content or {}).get("error", ""))
    is_rejection = content is not None and (status == _UNAUTHORIZED or error in _REJECTED)
    if is_rejection and 400 <= status < 500:  # noqa: PLR2004  # errors of the request
        return TokenFault(Effect.REJECTED, _rejection(service, error, content or {}))
    if content is None:
        reason = Reason(ReasonCode.TOKEN_RESPONSE_INVALID, service=service, status=status)
    elif _ERROR.fullmatch(error):
        reason = Reason(ReasonCode.TOKEN_REQUEST_REJECTED, service=service, error=error)
    else:
        reason = Reason(ReasonCode.TOKEN_SERVICE_STATUS, service=service, status=status)
    return TokenFault(Effect.UNAVAILABLE, reason, wait=wait)


def _rejection(service: str, error: str, content: Mapping[str, Any]) -> Reason:
    numbers = _NUMBER.findall(str(content.get("error_description", "")))
    for number in numbers:
        if number in BY_NUMBER:
            return BY_NUMBER[number]
    if error in _REJECTED - {"invalid_client"}:
        return Reason(ReasonCode.TOKEN_REVOKED)
    return Reason(ReasonCode.TOKEN_CLIENT_REJECTED, service=service)


def unreachable(service: str, cause: str) -> TokenFault:
    """Return the fault of a request that got no response."""
    reason = Reason(ReasonCode.TOKEN_SERVICE_UNREACHABLE, service=service, cause=cause)
    return TokenFault(Effect.UNAVAILABLE, reason)
