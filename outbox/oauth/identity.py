"""The mailbox that a user signed in to, as far as the response to a code says (OpenID Connect)."""

import base64
import binascii
import json
import re

_PARTS = 3  # of a JWT in its compact form (RFC 7515 3.1)
_MAX = 64_000  # characters
# The second one is Microsoft's, and names a user rather than a mailbox.
_CLAIMS = ("email", "preferred_username")
_ADDRESS = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,255}")


def login_of(id_token: object) -> str:
    """Return the email address in an ID token; "" if there is none.

    Its signature is not verified: it came from the token endpoint over TLS (OpenID Connect Core
    3.1.3.7), and the address is only displayed.
    """
    if not isinstance(id_token, str) or len(id_token) > _MAX:
        return ""
    parts = id_token.split(".")
    if len(parts) != _PARTS:
        return ""
    try:
        body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(body)
    except (ValueError, binascii.Error, RecursionError):
        return ""
    found = [claims.get(name) for name in _CLAIMS] if isinstance(claims, dict) else []
    return next((one for one in found if isinstance(one, str) and _ADDRESS.fullmatch(one)), "")
