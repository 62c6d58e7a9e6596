"""The login mechanisms (RFC 4954): what each sends first and answers to each challenge.

The choice is made from what the server offers within TLS. No line of this module's making may be
shown; scripts give the transcript a masked one.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from outbox.smtp.extensions import Extensions
from outbox.smtp.server import Server

Answering = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """`initial` may go with the command; `answers` meet the server's challenges in turn."""

    name: str
    initial: bytes | None = field(repr=False)
    answers: tuple[Answering, ...] = field(default=(), repr=False)


def mechanisms(server: Server, extensions: Extensions) -> list[Mechanism]:
    """Give what both sides know, the best first."""
    known = _token_mechanisms(server) if server.secret_is_token else _password_mechanisms(server)
    return [mechanism for mechanism in known if mechanism.name in extensions.auth]


def _password_mechanisms(server: Server) -> list[Mechanism]:
    user, password = server.username.encode(), server.secret.encode()
    return [
        Mechanism("PLAIN", b"\0" + user + b"\0" + password),
        Mechanism("LOGIN", None, (lambda _: user, lambda _: password)),
        # Not first: the server would have to keep the password readable, and TLS guards it better.
        Mechanism("CRAM-MD5", None, (lambda challenge: _cram_md5(user, password, challenge),)),
    ]


def _token_mechanisms(server: Server) -> list[Mechanism]:
    user, token = server.username.encode(), server.secret.encode()
    gs2 = b"n,a=%s," % user.replace(b"=", b"=3D").replace(b",", b"=2C")
    where = b"host=%s\x01port=%d" % (server.wire_host.encode(), server.port)
    # A refused token comes as a challenge that holds the reason (RFC 7628 3.2.2); it has to be
    # answered before the server gives its final reply.
    return [
        Mechanism("XOAUTH2", b"user=%s\x01auth=Bearer %s\x01\x01" % (user, token), (_nothing,)),
        Mechanism(
            "OAUTHBEARER",
            gs2 + b"\x01" + where + b"\x01auth=Bearer " + token + b"\x01\x01",
            (lambda _: b"\x01",),
        ),
    ]


def _nothing(_challenge: bytes) -> bytes:
    return b""


def _cram_md5(user: bytes, password: bytes, challenge: bytes) -> bytes:
    return user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()
