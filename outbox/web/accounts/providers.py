"""Mail providers that many people have: where they take mail, and what they want as a password.

A table to be extended; what is not in it may still be found in the DNS, see `discovery`.
"""

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from outbox.models import Security


class Wants(StrEnum):
    """What a provider takes at the login of a mail program."""

    PASSWORD = "password"  # noqa: S105  # the usual one
    APP_PASSWORD = "app_password"  # noqa: S105  # one made for this program alone
    CODE = "code"  # what Chinese providers call 授权码
    TOKEN = "token"  # noqa: S105  # OAuth 2


HINTS: dict[Wants, str | Promise] = {
    Wants.PASSWORD: "",
    Wants.APP_PASSWORD: gettext_lazy(
        "Your usual password does not work here: make an app password in the security settings "
        "of %(provider)s, and paste it below."
    ),
    Wants.CODE: gettext_lazy(
        "Your usual password does not work here: switch SMTP on in the web mail of %(provider)s, "
        "and paste the authorization code it shows below."
    ),
    Wants.TOKEN: gettext_lazy(
        "%(provider)s takes no passwords here any more, but OAuth 2 access tokens, which are valid "
        "for about an hour. Ask your administrator whether passwords are allowed in your case."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider; the user name is the whole address with every one of them."""

    name: str | Promise
    host: str
    port: int = 465
    security: Security = Security.TLS
    wants: Wants = Wants.PASSWORD
    domains: frozenset[str] = frozenset()  # whose addresses are the provider's
    exchangers: tuple[str, ...] = ()  # domains of its MX hosts: other people's domains live there


def _domains(names: str) -> frozenset[str]:
    return frozenset(names.split())


PROVIDERS = (
    Provider(
        name="Gmail",
        host="smtp.gmail.com",
        wants=Wants.APP_PASSWORD,
        domains=_domains("gmail.com googlemail.com"),
        exchangers=("google.com", "googlemail.com"),
    ),
    Provider(
        name="Outlook.com",
        host="smtp-mail.outlook.com",
        port=587,
        security=Security.STARTTLS,
        wants=Wants.TOKEN,
        domains=_domains("outlook.com hotmail.com live.com msn.com outlook.de hotmail.de live.cn"),
    ),
    Provider(
        name="Microsoft 365",
        host="smtp.office365.com",
        port=587,
        security=Security.STARTTLS,
        wants=Wants.TOKEN,
        exchangers=("mail.protection.outlook.com", "mx.microsoft"),
    ),
    Provider(
        name="iCloud",
        host="smtp.mail.me.com",
        port=587,
        security=Security.STARTTLS,
        wants=Wants.APP_PASSWORD,
        domains=_domains("icloud.com me.com mac.com"),
        exchangers=("mail.icloud.com",),
    ),
    Provider(
        name="Yahoo",
        host="smtp.mail.yahoo.com",
        wants=Wants.APP_PASSWORD,
        domains=_domains("yahoo.com ymail.com rocketmail.com yahoo.co.uk yahoo.de yahoo.fr"),
    ),
    Provider(
        name="AOL",
        host="smtp.aol.com",
        wants=Wants.APP_PASSWORD,
        domains=_domains("aol.com aim.com"),
    ),
    Provider(
        name="Fastmail",
        host="smtp.fastmail.com",
        wants=Wants.APP_PASSWORD,
        domains=_domains("fastmail.com fastmail.fm"),
        exchangers=("messagingengine.com",),
    ),
    Provider(
        name="Zoho",
        host="smtp.zoho.com",
        wants=Wants.APP_PASSWORD,
        domains=_domains("zoho.com zohomail.com"),
    ),
    Provider(
        name="GMX",
        host="mail.gmx.net",
        port=587,
        security=Security.STARTTLS,
        domains=_domains("gmx.de gmx.net gmx.at gmx.ch"),
    ),
    Provider(
        name="WEB.DE",
        host="smtp.web.de",
        port=587,
        security=Security.STARTTLS,
        domains=_domains("web.de"),
    ),
    Provider(
        name=gettext_lazy("QQ Mail"),
        host="smtp.qq.com",
        wants=Wants.CODE,
        domains=_domains("qq.com foxmail.com vip.qq.com"),
    ),
    Provider(
        name=gettext_lazy("Tencent Exmail"),
        host="smtp.exmail.qq.com",
        wants=Wants.CODE,
        exchangers=("mxbiz1.qq.com", "mxbiz2.qq.com"),
    ),
    Provider(
        name=gettext_lazy("NetEase 163 Mail"),
        host="smtp.163.com",
        wants=Wants.CODE,
        domains=_domains("163.com"),
    ),
    Provider(
        name=gettext_lazy("NetEase 126 Mail"),
        host="smtp.126.com",
        wants=Wants.CODE,
        domains=_domains("126.com"),
    ),
    Provider(
        name=gettext_lazy("NetEase yeah.net Mail"),
        host="smtp.yeah.net",
        wants=Wants.CODE,
        domains=_domains("yeah.net"),
    ),
    Provider(
        name=gettext_lazy("Sina Mail"),
        host="smtp.sina.com",
        wants=Wants.CODE,
        domains=_domains("sina.com"),
    ),
    Provider(
        name=gettext_lazy("139 Mail"),
        host="smtp.139.com",
        wants=Wants.CODE,
        domains=_domains("139.com"),
    ),
)

_BY_DOMAIN = {domain: provider for provider in PROVIDERS for domain in provider.domains}


def by_domain(domain: str) -> Provider | None:
    """Return the provider that gives out addresses of this domain (in A-labels)."""
    return _BY_DOMAIN.get(domain.lower())


def by_exchanger(host: str) -> Provider | None:
    """Return the provider whose server takes a domain's mail; `host` is what its MX names."""
    host = host.lower().rstrip(".")
    for provider in PROVIDERS:
        if any(host == known or host.endswith(f".{known}") for known in provider.exchangers):
            return provider
    return None
