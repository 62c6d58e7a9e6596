"""The login mechanisms (RFC 4954): the initial response and the responses to challenges.

The choice depends on the capabilities that the server announces within TLS. No line from this
module may appear in a transcript; scripts pass a masked one.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from outbox.smtp.extensions import Extensions
from outbox.smtp.server import Server

Respond = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """`initial` may be sent with the command; `responses` are for the challenges, in order."""

    name: str
    initial: bytes | None = field(repr=False)
    responses: tuple[Respond, ...] = field(default=(), repr=False)
    reads_challenge: bool = False  # whether a response depends on its challenge


def mechanisms(server: Server, extensions: Extensions) -> list[Mechanism]:
    """Return the mechanisms that client and server support, the preferred first."""
    known = _token_mechanisms(server) if server.secret_is_token else _password_mechanisms(server)
    return [mechanism for mechanism in known if mechanism.name in extensions.auth]


def _password_mechanisms(server: Server) -> list[Mechanism]:
    user, password = server.username.encode(), server.secret.encode()
    return [
        Mechanism("PLAIN", b"\0" + user + b"\0" + password),
        Mechanism("LOGIN", None, (lambda _: user, lambda _: password)),
        # Not first: the server has to store the password readable, and TLS protects it better.
        Mechanism(
            "CRAM-MD5",
            None,
            (lambda challenge: _cram_md5(user, password, challenge),),
            reads_challenge=True,
        ),
    ]


def _token_mechanisms(server: Server) -> list[Mechanism]:
    user, token = server.username.encode(), server.secret.encode()
    gs2 = b"n,a=%s," % user.replace(b"=", b"=3D").replace(b",", b"=2C")
    where = b"host=%s\x01port=%d" % (server.wire_host.encode(), server.port)
    # The server rejects a token by a challenge with the reason (RFC 7628 3.2.2). It sends the final
    # reply only after a response to that challenge.
    return [
        Mechanism("XOAUTH2", b"user=%s\x01auth=Bearer %s\x01\x01" % (user, token), (_empty,)),
        Mechanism(
            "OAUTHBEARER",
            gs2 + b"\x01" + where + b"\x01auth=Bearer " + token + b"\x01\x01",
            (lambda _: b"\x01",),
        ),
    ]


def _empty(_challenge: bytes) -> bytes:
    return b""


def _cram_md5(user: bytes, password: bytes, challenge: bytes) -> bytes:
    return user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()
