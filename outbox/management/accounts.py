"""An account from Django's settings: EMAIL_HOST and the related ones, or an entry of MAILERS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from outbox.conf import is_set
from outbox.mail.addresses import AddressError, parse_address
from outbox.models.account import Security

_OPTIONS = {  # of an entry of MAILERS, by the equivalent setting before Django 6.1
    "EMAIL_HOST": "host",
    "EMAIL_PORT": "port",
    "EMAIL_HOST_USER": "username",
    "EMAIL_HOST_PASSWORD": "password",
    "EMAIL_USE_TLS": "use_tls",
    "EMAIL_USE_SSL": "use_ssl",
    "EMAIL_SSL_CERTFILE": "ssl_certfile",
    "EMAIL_SSL_KEYFILE": "ssl_keyfile",
}
_PORT = 25  # Django's default, regardless of the security


class SettingsError(Exception):
    """The settings do not describe an account; the error says what is missing."""


@dataclass(frozen=True, slots=True)
class Described:
    """The account that the settings describe."""

    fields: Mapping[str, Any]  # of the row
    password: str
    ignored: tuple[str, ...]  # settings without a counterpart in an account


def account_of_settings(mailer: str | None = None) -> Described:
    """Return the account from MAILERS if it is set, else from EMAIL_HOST and the related settings.

    Raise SettingsError if they do not describe one.
    """
    mailers = getattr(settings, "MAILERS", None)  # new in Django 6.1
    if mailers is None:
        if mailer is not None:
            raise SettingsError("These settings have no MAILERS.")
        options, named = _of_old_settings(), dict(zip(_OPTIONS.values(), _OPTIONS, strict=True))
    else:
        alias, options = _of_mailers(mailers, mailer)
        named = {name: f'MAILERS["{alias}"]["OPTIONS"]["{name}"]' for name in _OPTIONS.values()}
    return Described(
        fields=_identity() | _server(options, named),
        password=options.get("password") or "",
        ignored=tuple(named[name] for name in ("ssl_certfile", "ssl_keyfile") if options.get(name)),
    )


def _of_old_settings() -> dict[str, Any]:
    """Return the settings that are set, by the names of the options."""
    if not is_set("EMAIL_HOST"):
        raise SettingsError("EMAIL_HOST is not set, so there is no server to use.")
    given = {setting for setting in _OPTIONS if is_set(setting)}
    return {_OPTIONS[setting]: getattr(settings, setting) for setting in given}


def _of_mailers(mailers: Mapping[str, Any], alias: str | None) -> tuple[str, dict[str, Any]]:
    """Return the requested entry, else the first one with a server; "default" comes first."""
    if alias is not None and alias not in mailers:
        raise SettingsError(f"MAILERS has no {alias!r}.")
    named = sorted(mailers, key=lambda name: name != "default") if alias is None else [alias]
    for name in named:
        options = mailers[name].get("OPTIONS", {})
        if options.get("host"):
            return name, options
    raise SettingsError(
        "No entry of MAILERS names a server (OPTIONS, host). Keep the old entry under another "
        "alias, and name that alias with --mailer."
    )


def _identity() -> dict[str, str]:
    try:
        sender = parse_address(settings.DEFAULT_FROM_EMAIL)
    except AddressError as error:
        raise SettingsError(f"DEFAULT_FROM_EMAIL is not an address: {error}") from error
    return {"from_name": sender.name, "from_address": sender.spec}


def _server(options: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    if options.get("use_tls") and options.get("use_ssl"):
        raise SettingsError(f"{named['use_tls']} and {named['use_ssl']} exclude each other.")
    security = Security.STARTTLS if options.get("use_tls") else Security.NONE
    return {
        "host": options["host"],
        "port": int(options.get("port") or _PORT),
        "security": Security.TLS if options.get("use_ssl") else security,
        "username": options.get("username") or "",
    }
