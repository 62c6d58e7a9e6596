"""Common mail providers: their servers for sending, and what their login needs.

A provider that is missing here may still be found in DNS, when an account is set up.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from outbox.net.shaping import APPLE, GOOGLE, MICROSOFT, YAHOO, Shaping
from outbox.texts import gettext_noop

Security = Literal["tls", "starttls"]  # as accounts store it


class Login(StrEnum):
    """What a provider accepts as the password of a mail program."""

    PASSWORD = "password"  # noqa: S105  # the usual password
    APP_PASSWORD = "app_password"  # noqa: S105  # a password created for one program
    CODE = "code"  # the authorization code (授权码) of Chinese providers
    TOKEN = "token"  # noqa: S105  # OAuth 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A mail provider. The username is always the whole address."""

    name: str  # in English; in the message catalog where it is not a brand
    host: str
    port: int = 465
    security: Security = "tls"
    pop_host: str = ""  # where messages are fetched, over TLS at the ports 995 and 993
    imap_host: str = ""
    login: Login = Login.PASSWORD
    domains: frozenset[str] = frozenset()  # of the provider's own addresses
    # Its MX hosts, which customers' domains name: a host, or with a dot in front all hosts below. A
    # * is any part of a label. Only mail servers may match: any domain can name a provider's web
    # server, whose faults would count as those of the mail servers.
    exchangers: tuple[str, ...] = ()
    own_exchangers: tuple[str, ...] = ()  # MX hosts that only its own domains name
    mx_site: str = ""  # the key of the MX site of all these hosts
    shaping: Shaping | None = None  # what its MX hosts accept
    oauth: str = ""  # whose consent gives access tokens: "google" or "microsoft"
    per_minute: int | None = None  # what the provider allows, as the limits of a new account
    per_day: int | None = None


def _domains(names: str) -> frozenset[str]:
    return frozenset(names.split())


PROVIDERS = (
    Provider(
        name="Gmail",
        host="smtp.gmail.com",
        pop_host="pop.gmail.com",
        imap_host="imap.gmail.com",
        login=Login.APP_PASSWORD,
        domains=_domains("gmail.com googlemail.com"),
        oauth="google",
        per_day=500,
    ),
    Provider(
        name="Google Workspace",
        host="smtp.gmail.com",
        pop_host="pop.gmail.com",
        imap_host="imap.gmail.com",
        login=Login.APP_PASSWORD,
        exchangers=(
            "aspmx.l.google.com",
            ".aspmx.l.google.com",
            "aspmx*.googlemail.com",
            "smtp.google.com",
            "gmail-smtp-in.l.google.com",
            ".gmail-smtp-in.l.google.com",
        ),
        mx_site="google.com",
        shaping=GOOGLE,
        oauth="google",
        per_day=2_000,
    ),
    Provider(
        name="Outlook.com",
        host="smtp-mail.outlook.com",
        pop_host="outlook.office365.com",
        imap_host="outlook.office365.com",
        port=587,
        security="starttls",
        login=Login.TOKEN,
        domains=_domains("outlook.com hotmail.com live.com msn.com outlook.de hotmail.de live.cn"),
        own_exchangers=(".olc.protection.outlook.com",),
        mx_site="olc.protection.outlook.com",
        shaping=MICROSOFT,
        oauth="microsoft",
    ),
    Provider(
        name="Microsoft 365",
        host="smtp.office365.com",
        pop_host="outlook.office365.com",
        imap_host="outlook.office365.com",
        port=587,
        security="starttls",
        login=Login.TOKEN,
        exchangers=(".mail.protection.outlook.com", ".mx.microsoft"),
        mx_site="mail.protection.outlook.com",
        shaping=MICROSOFT,
        oauth="microsoft",
        per_minute=30,
        per_day=10_000,
    ),
    Provider(
        name="iCloud",
        host="smtp.mail.me.com",
        imap_host="imap.mail.me.com",
        port=587,
        security="starttls",
        login=Login.APP_PASSWORD,
        domains=_domains("icloud.com me.com mac.com"),
        exchangers=("mx*.mail.icloud.com",),
        mx_site="mail.icloud.com",
        shaping=APPLE,
    ),
    Provider(
        name="Yahoo",
        host="smtp.mail.yahoo.com",
        pop_host="pop.mail.yahoo.com",
        imap_host="imap.mail.yahoo.com",
        login=Login.APP_PASSWORD,
        domains=_domains("yahoo.com ymail.com rocketmail.com yahoo.co.uk yahoo.de yahoo.fr"),
        # AOL's as well
        own_exchangers=(
            "mta*.am0.yahoodns.net",
            "mx-*.mail.am0.yahoodns.net",
            "mx-*.mail.gm0.yahoodns.net",
        ),
        mx_site="yahoodns.net",
        shaping=YAHOO,
    ),
    Provider(
        name="AOL",
        host="smtp.aol.com",
        pop_host="pop.aol.com",
        imap_host="imap.aol.com",
        login=Login.APP_PASSWORD,
        domains=_domains("aol.com aim.com"),
    ),
    Provider(
        name="Fastmail",
        host="smtp.fastmail.com",
        pop_host="pop.fastmail.com",
        imap_host="imap.fastmail.com",
        login=Login.APP_PASSWORD,
        domains=_domains("fastmail.com fastmail.fm"),
        exchangers=("in*-smtp.messagingengine.com",),
        mx_site="messagingengine.com",
    ),
    Provider(
        name="Zoho",
        host="smtp.zoho.com",
        pop_host="pop.zoho.com",
        imap_host="imap.zoho.com",
        login=Login.APP_PASSWORD,
        domains=_domains("zoho.com zohomail.com"),
    ),
    Provider(
        name="GMX",
        host="mail.gmx.net",
        pop_host="pop.gmx.net",
        imap_host="imap.gmx.net",
        port=587,
        security="starttls",
        domains=_domains("gmx.de gmx.net gmx.at gmx.ch"),
    ),
    Provider(
        name="WEB.DE",
        host="smtp.web.de",
        pop_host="pop3.web.de",
        imap_host="imap.web.de",
        port=587,
        security="starttls",
        domains=_domains("web.de"),
    ),
    Provider(
        name=gettext_noop("QQ Mail"),
        host="smtp.qq.com",
        pop_host="pop.qq.com",
        imap_host="imap.qq.com",
        login=Login.CODE,
        domains=_domains("qq.com foxmail.com vip.qq.com"),
    ),
    Provider(
        name=gettext_noop("Tencent Exmail"),
        host="smtp.exmail.qq.com",
        pop_host="pop.exmail.qq.com",
        imap_host="imap.exmail.qq.com",
        login=Login.CODE,
        exchangers=("mxbiz1.qq.com", "mxbiz2.qq.com"),
        mx_site="exmail.qq.com",
    ),
    Provider(
        name=gettext_noop("NetEase 163 Mail"),
        host="smtp.163.com",
        pop_host="pop.163.com",
        imap_host="imap.163.com",
        login=Login.CODE,
        domains=_domains("163.com"),
    ),
    Provider(
        name=gettext_noop("NetEase 126 Mail"),
        host="smtp.126.com",
        pop_host="pop.126.com",
        imap_host="imap.126.com",
        login=Login.CODE,
        domains=_domains("126.com"),
    ),
    Provider(
        name=gettext_noop("NetEase yeah.net Mail"),
        host="smtp.yeah.net",
        pop_host="pop.yeah.net",
        imap_host="imap.yeah.net",
        login=Login.CODE,
        domains=_domains("yeah.net"),
    ),
    Provider(
        name=gettext_noop("Sina Mail"),
        host="smtp.sina.com",
        pop_host="pop.sina.com",
        imap_host="imap.sina.com",
        login=Login.CODE,
        domains=_domains("sina.com"),
    ),
    Provider(
        name=gettext_noop("139 Mail"),
        host="smtp.139.com",
        pop_host="pop.139.com",
        imap_host="imap.139.com",
        login=Login.CODE,
        domains=_domains("139.com"),
    ),
)

# First labels of the names of a provider's servers for different protocols.
_SERVICES = frozenset(
    {
        "smtp", "smtps", "smtp-mail", "securesmtp", "submission", "mail", "email", "mx", "out",
        "outgoing", "in", "incoming", "pop", "pop3", "pops", "securepop", "imap", "imaps",
        "imap-mail", "pop-mail",
    }
)  # fmt: skip
_BY_DOMAIN = {domain: provider for provider in PROVIDERS for domain in provider.domains}
_BY_MX_SITE = {provider.mx_site: provider for provider in PROVIDERS if provider.mx_site}


def provider_of(domain: str) -> Provider | None:
    """Return the provider that owns this domain (in A-labels)."""
    return _BY_DOMAIN.get(domain.lower())


def by_exchanger(host: str) -> Provider | None:
    """Return the provider that runs this MX host."""
    host = host.lower().rstrip(".")
    return next((one for one in PROVIDERS if _is_among(host, one.exchangers)), None)


def by_any_exchanger(host: str) -> Provider | None:
    """Return the provider that runs this MX host, also if only its own domains name the host."""
    host = host.lower().rstrip(".")
    every = (one for one in PROVIDERS if _is_among(host, one.exchangers + one.own_exchangers))
    return next(every, None)


def by_mx_site(key: str) -> Provider | None:
    """Return the provider whose MX site has this key."""
    return _BY_MX_SITE.get(key)


def _is_among(host: str, exchangers: tuple[str, ...]) -> bool:
    return any(_fits(host, known) for known in exchangers)


def _fits(host: str, known: str) -> bool:
    """Return whether a host is one of those that an entry of `Provider.exchangers` describes."""
    if known.startswith("."):
        return host.endswith(known) and host != known
    first, star, last = known.partition("*")
    if not star:
        return host == known
    part = host.removeprefix(first).removesuffix(last)
    return host == f"{first}{part}{last}" and "." not in part


def by_host(host: str) -> Provider | None:
    """Return the provider that has this server for sending or for fetching."""
    host = host.lower()
    for provider in PROVIDERS:
        if host in {provider.host, provider.pop_host, provider.imap_host}:
            return provider
    return None


def have_same_operator(one: str, other: str) -> bool:
    """Return whether two servers are certainly of one operator, so that both may get its password.

    They are those of a known provider, or have the same name apart from the protocol's, such as
    smtp.example.com and pop.example.com.
    """
    one, other = one.lower().rstrip("."), other.lower().rstrip(".")
    known = {
        frozenset({provider.host, fetched})
        for provider in PROVIDERS
        for fetched in (provider.pop_host, provider.imap_host)
    }
    return one == other or frozenset({one, other}) in known or _operator(one) == _operator(other)


def _operator(host: str) -> str:
    service, _, rest = host.partition(".")
    return rest if service in _SERVICES and "." in rest else host
