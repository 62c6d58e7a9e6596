"""The level of TLS that delivery by MX requested and achieved, in words, for pages."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from outbox.models import SmtpSession
from outbox.reasons import Reason

_REQUESTED: dict[str, str | Promise] = {
    "opportunistic": _("TLS if the server offers it"),
    "verify": _("TLS with a valid certificate"),
    "dane": _("TLS with a certificate that DANE confirms"),
}
_ACHIEVED: dict[str, str | Promise] = {
    "none": _("not encrypted"),
    "encrypted": _("encrypted, server not verified"),
    "verified": _("encrypted, certificate verified"),
    "dane": _("encrypted, certificate verified by DANE"),
}


@dataclass(frozen=True, slots=True)
class TlsLevels:
    """What was requested and achieved, each with its reason."""

    requested: str | Promise
    requested_why: Reason
    achieved: str | Promise
    achieved_why: Reason


def levels_of(session: SmtpSession | None) -> TlsLevels | None:
    """Return the levels of a session with a server found by MX; None for an account's server."""
    if session is None or not session.tls_requested:
        return None
    return TlsLevels(
        _REQUESTED.get(session.tls_requested, session.tls_requested),
        session.tls_policy,
        _ACHIEVED.get(session.tls_achieved, session.tls_achieved),
        session.tls_why,
    )
