"""The endpoints and scopes of the known providers, and of any other that is described by its own.

Google: developers.google.com/identity/protocols/oauth2/web-server, and for the scope
developers.google.com/workspace/gmail/imap/xoauth2-protocol. Microsoft:
learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

GOOGLE, MICROSOFT = "google", "microsoft"

GOOGLE_SCOPE = "https://mail.google.com/"
MICROSOFT_SEND = "https://outlook.office.com/SMTP.Send"
MICROSOFT_FETCH = (
    "https://outlook.office.com/POP.AccessAsUser.All",
    "https://outlook.office.com/IMAP.AccessAsUser.All",
)
MICROSOFT_APP_SCOPE = "https://outlook.office365.com/.default"
# learn.microsoft.com/entra/identity-platform/authentication-national-cloud
MICROSOFT_CLOUDS = ("login.microsoftonline.us", "login.partner.microsoftonline.cn")
OFFLINE = "offline_access"  # without it Microsoft sends no refresh token


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a provider's users consent, where tokens are requested, and for which scopes."""

    service: str  # its name, in the sentences about it
    authorization_url: str
    token_url: str
    scopes: tuple[str, ...]  # of an access on behalf of a user
    app_scopes: tuple[str, ...] = ()  # of an access without a user
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the authorization URL


def google() -> Endpoints:
    """Return the endpoints of Google.

    A refresh token is sent only for offline access. It is sent at each consent only if the user is
    prompted for it, also after an earlier one.
    """
    return Endpoints(
        service="Google",
        authorization_url="https://accounts.google.com/o/oauth2/v2/auth",
        token_url="https://oauth2.googleapis.com/token",  # noqa: S106  # a URL
        scopes=(GOOGLE_SCOPE,),
        app_scopes=(GOOGLE_SCOPE,),
        parameters={"access_type": "offline", "prompt": "consent"},
    )


def microsoft(tenant: str = "", *, fetches: bool = False) -> Endpoints:
    """Return the endpoints of Microsoft for a tenant; without one, any account may consent."""
    base = f"https://login.microsoftonline.com/{quote(tenant or 'common', safe='')}/oauth2/v2.0"
    scopes = (MICROSOFT_SEND, *(MICROSOFT_FETCH if fetches else ()), OFFLINE)
    return Endpoints(
        service="Microsoft",
        authorization_url=f"{base}/authorize",
        token_url=f"{base}/token",
        scopes=scopes,
        app_scopes=(MICROSOFT_APP_SCOPE,),
    )


def custom(
    service: str, authorization_url: str, token_url: str, scopes: tuple[str, ...]
) -> Endpoints:
    """Return the endpoints of another provider, which asks for consent at each connection.

    The national clouds of Microsoft are asked as Microsoft itself: a prompt would need an
    administrator where users may not consent by themselves.
    """
    try:
        is_microsoft = urlsplit(authorization_url).hostname in MICROSOFT_CLOUDS
    except ValueError:  # brackets without an IPv6 address
        is_microsoft = False
    is_prompted = OFFLINE in scopes and not is_microsoft
    return Endpoints(
        service=service,
        authorization_url=authorization_url,
        token_url=token_url,
        scopes=scopes,
        app_scopes=scopes,
        parameters={"prompt": "consent"} if is_prompted else {},
    )
