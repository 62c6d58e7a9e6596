"""What a rejection is about. The enhanced status code decides before the basic code.

Servers use the basic codes freely, and the enhanced ones as RFC 3463, RFC 5248 and their registry
at IANA define them: "432 4.3.2" means too many connections, although 432 alone means that the
password has to be changed. Only where there is no enhanced code, or one that says nothing of the
matter, does the basic code decide, and last the text.

Whether a rejection is transient or permanent stays a question of the basic code.
"""

import re
from enum import StrEnum

from outbox.smtp.reply import Reply

BAD_SEQUENCE = 503
_SYNTAX_ERROR = 501
_NEW_PASSWORD_WANTED = 432  # RFC 4954 6: the user has to change the password
_CREDENTIALS_INVALID = 535  # RFC 4954 6
_LOGIN_WANTED = frozenset({530, 538})  # RFC 4954 6, RFC 3207 4
_LOGIN_CODES = _LOGIN_WANTED | {_NEW_PASSWORD_WANTED, 534, _CREDENTIALS_INVALID}
_MECHANISM_CODES = frozenset({500, 501, 502, BAD_SEQUENCE, 504, 534, 538})
_UNKNOWN_CODES = frozenset({500, 501, 502, 504, 555})  # RFC 5321 4.2.4 and 4.1.1.11

# Enhanced codes without their class (RFC 3463 3).
_BUSY = frozenset({"3.2", "4.5"})  # system not accepting messages; congestion
_TOO_MANY_RECIPIENTS = "5.3"
_UNKNOWN = frozenset({"3.3", "5.0", "5.1", "5.2", "5.4", "5.5"})  # command, syntax, parameter
_MECHANISM = frozenset({"7.4", "7.6", "7.9", "7.11"})  # RFC 4954 6: too weak, needs encryption, …
_CREDENTIALS = frozenset({"7.8", "7.12", "7.13", "7.14"})  # RFC 5248, RFC 5321: wrong, disabled, …
_LOGIN = _MECHANISM | _CREDENTIALS | {"7.10"}

_TOO_MANY_TEXT = re.compile(
    r"\btoo many (?:\w{1,20} )?(?:recipients|rcpts?)\b"
    r"|\b(?:recipients?|rcpts?) (?:count |number )?(?:limit|maximum)\b"
    r"|\bmax(?:imum|\.)? (?:number of )?(?:recipients|rcpts?)\b",
    re.IGNORECASE,
)
_LOGIN_TEXT = re.compile(r"\bauth\b|\bauthenticat|\blog ?in\b", re.IGNORECASE)


_SESSION_TEXT = re.compile(
    r"\b(?:per|this|the|one) (?:smtp )?(?:session|connection)\b"
    r"|\btoo many (?:messages|e?mail\w|transactions)\b"
    r"|\b(?:session|connection|idle|transaction) (?:limit|timeout|timed out|expired)\b",
    re.IGNORECASE,
)
_SENDER = frozenset({"1.7", "1.8"})  # bad sender's mailbox address, its system address
_SENDER_TEXT = re.compile(
    r"\bsender\b|\bsend ?as\b|\b(?:return|reverse)[ -]path\b|<>", re.IGNORECASE
)
_PIPELINING_TEXT = re.compile(r"\bpipelin|\bsynchroni[sz]ation", re.IGNORECASE)


class LoginFailure(StrEnum):
    """What the rejection of AUTH is about."""

    CREDENTIALS = "credentials"  # not to be tried again: repeated failures lock accounts
    MECHANISM = "mechanism"  # another one may be accepted (RFC 4954 6)
    TEMPORARY = "temporary"  # the server cannot check logins now


def login_failure(reply: Reply) -> LoginFailure:
    """Return what the final reply to AUTH is about, where it is a rejection."""
    detail = reply.detail
    if detail == "7.12":
        return LoginFailure.CREDENTIALS
    if detail != "3.3" and detail.startswith(("3.", "4.")):
        return LoginFailure.TEMPORARY
    if reply.transient:
        wants_new = reply.code == _NEW_PASSWORD_WANTED
        return LoginFailure.CREDENTIALS if wants_new else LoginFailure.TEMPORARY
    if detail in _MECHANISM:
        return LoginFailure.MECHANISM
    if detail in _CREDENTIALS or reply.code == _CREDENTIALS_INVALID:
        return LoginFailure.CREDENTIALS
    is_about_mechanism = detail in _UNKNOWN | {"5.6"} or reply.code in _MECHANISM_CODES
    return LoginFailure.MECHANISM if is_about_mechanism else LoginFailure.CREDENTIALS


def is_initial_response_rejected(reply: Reply) -> bool:
    """Return whether AUTH may be repeated without its initial response (RFC 4954 4)."""
    return reply.code == _SYNTAX_ERROR and login_failure(reply) is LoginFailure.MECHANISM


def wants_login(reply: Reply) -> bool:
    """Return whether MAIL or RCPT was rejected because no login or no TLS preceded it."""
    if reply.code == BAD_SEQUENCE:
        return not _is_about_something_else(reply) and bool(_LOGIN_TEXT.search(reply.text))
    if reply.detail in {"7.10", "7.11"}:
        return True
    return reply.code in _LOGIN_WANTED and not _is_about_something_else(reply)


def rejects_login(reply: Reply) -> bool:
    """Return whether MAIL was rejected because of the login."""
    if reply.detail in _LOGIN or _is_about_passwords(reply):
        return True
    return reply.code in _LOGIN_CODES and not _is_about_something_else(reply)


def _is_about_passwords(reply: Reply) -> bool:
    """Return whether Microsoft rejects logins by password. Google's 5.7.30 is about DKIM."""
    return reply.detail == "7.30" and "basic authentication" in reply.text.lower()


def _is_about_something_else(reply: Reply) -> bool:
    """Return whether the enhanced code is not about protocol or security."""
    return reply.detail == _TOO_MANY_RECIPIENTS or reply.detail.startswith(
        ("1.", "2.", "3.", "4.", "6.")
    )


def is_about_sender(reply: Reply) -> bool:
    """Return whether a rejection after MAIL is, or may be, about the envelope sender."""
    return reply.permanent and (reply.detail in _SENDER or bool(_SENDER_TEXT.search(reply.text)))


def is_too_many_recipients(reply: Reply) -> bool:
    """Return whether a rejection says that the transaction has too many recipients."""
    if reply.detail == _TOO_MANY_RECIPIENTS:
        return True
    is_about_one = reply.detail.startswith(("1.", "2."))
    return not is_about_one and bool(_TOO_MANY_TEXT.search(reply.text))


def is_busy(reply: Reply) -> bool:
    """Return whether the server accepts no messages for now, whatever the message is."""
    return reply.detail in _BUSY


def is_unknown(reply: Reply) -> bool:
    """Return whether a command or its parameter was rejected as unknown or unimplemented."""
    if not reply.permanent or is_too_many_recipients(reply):
        return False
    if reply.detail:
        return reply.detail in _UNKNOWN and reply.code != BAD_SEQUENCE
    return reply.code in _UNKNOWN_CODES


def is_command_unknown(reply: Reply) -> bool:
    """Return whether a command that has no parameters to leave out was rejected as unknown."""
    return reply.code in _UNKNOWN_CODES and (not reply.detail or reply.detail in _UNKNOWN)


def is_about_pipelining(reply: Reply) -> bool:
    """Return whether a command was rejected because others followed it (RFC 2920)."""
    return (reply.transient or reply.permanent) and bool(_PIPELINING_TEXT.search(reply.text))


def is_about_session(reply: Reply) -> bool:
    """Return whether a rejection of MAIL may be due to the session rather than the message."""
    if not reply.transient:
        return False
    is_named = is_busy(reply) or reply.detail in {"4.0", "4.1", "4.2", "5.0", "5.1", "5.5"}
    return is_named or bool(_SESSION_TEXT.search(reply.text))


def has_too_many_recipients(reply: Reply) -> bool:
    """Return whether a message was rejected for the number of its recipients."""
    return reply.detail == _TOO_MANY_RECIPIENTS and not reply.accepted
