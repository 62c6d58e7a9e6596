"""The SMTP server of an account, or of a domain, as the SMTP client needs it described."""

import ipaddress
from collections.abc import Callable

from outbox import smtp
from outbox.conf import Conf, get_conf
from outbox.delivery.tls_policy import HostPolicy
from outbox.models import Account
from outbox.net import is_public

_MX_ADDRESSES_MAX = 4  # of one host, IPv6 and IPv4 in turn: each may take a timeout


def server_for(account: Account, secret: str | None = None) -> smtp.Server:
    """Return the account's server. `secret` replaces the stored one.

    Raises SecretUnreadableError.
    """
    conf = get_conf()
    return smtp.Server(
        host=account.host,
        port=account.port,
        security=smtp.Security(account.security),
        username=account.username,
        secret=(account.secret if secret is None else secret) if account.username else "",
        secret_is_token=account.secret_is_token,
        ehlo_name=conf.ehlo_name,
        allow_plaintext_auth=conf.allow_private_hosts and _is_loopback(account.host),
        allow_address=address_rule(conf, trusted=account.is_trusted),
        timeouts=_timeouts(conf),
        ca_file=conf.ca_file or None,
        pipelining=conf.pipelining,
        chunking=conf.chunking,
    )


def mx_server_for(policy: HostPolicy, conf: Conf) -> smtp.Server:
    """Return a server that receives messages for a domain.

    The domain chooses its addresses, so none of the private network is allowed, whatever account.
    """
    host = policy.exchanger
    return smtp.Server(
        host=host.host,
        port=conf.mx_port,
        security=policy.security,
        plain_text=policy.plain_text,
        tls_names=policy.tls_names,
        tlsa=policy.tlsa,
        is_host_proven=policy.is_authentic,
        addresses=host.addresses,
        addresses_max=_MX_ADDRESSES_MAX,
        ehlo_name=conf.ehlo_name,
        allow_address=address_rule(conf, trusted=False),
        timeouts=_timeouts(conf),
        ca_file=conf.ca_file or None,
        pipelining=conf.pipelining,
        chunking=conf.chunking,
    )


def _timeouts(conf: Conf) -> smtp.Timeouts:
    return smtp.Timeouts(
        connect=conf.connect_timeout,
        greeting=conf.greeting_timeout,
        command=conf.command_timeout,
        tls=conf.tls_timeout,
        auth=conf.auth_timeout,
        data=conf.data_timeout,
        block=conf.block_timeout,
        dot=conf.dot_timeout,
        quit=conf.quit_timeout,
    )


def address_rule(conf: Conf, *, trusted: bool) -> Callable[[str], bool]:
    """Return the test that each resolved address must pass.

    Only a trusted account may reach hosts of the private network, and only by its own server.
    """
    if conf.allow_private_hosts or trusted:
        return lambda address: True
    return is_public


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
