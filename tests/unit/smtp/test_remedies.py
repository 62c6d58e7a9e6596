"""Replies of Google and Microsoft about logins, and the remedy for each."""

import pytest

from outbox.smtp.remedies import remedy_of
from outbox.smtp.reply import Reply, ReplyParser
from outbox.smtp.status import rejects_login

KNOWN = [
    (
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
            "Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM0.prod.x]"
        ),
        "microsoft_smtp_auth_off",
    ),
    (
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
            "Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information."
        ),
        "microsoft_smtp_auth_off",
    ),
    (
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [AM0.prod.x]",
        "microsoft_passwords_off",
    ),
    (
        (
            "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be "
            "authenticated successfully. Contact your administrator."
        ),
        "microsoft_policy",
    ),
    ("535 5.7.3 Authentication unsuccessful [AM0.prod.outlook.com]", "microsoft_login_rejected"),
    (
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        "microsoft_passwords_off",
    ),
    (
        (
            "534-5.7.9 Application-specific password required. For more information, go to\r\n"
            "534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor - gsmtp"
        ),
        "google_app_password_needed",
    ),
    (
        (
            "534-5.7.9 Please log in with your web browser and then try again. For more\r\n"
            "534 5.7.9 information, go to https://support.google.com/mail/?p=WebLoginRequired"
        ),
        "google_app_password_needed",
    ),
    ("454 4.7.0 Too many login attempts, please try again later. - gsmtp", "logins_limited"),
    (
        (
            "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to "
            "support TLS 1.2."
        ),
        "tls_too_old",
    ),
]
OTHERS = [
    "535 5.7.8 Username and Password not accepted - gsmtp",
    "550 5.7.30 Unauthenticated email is not accepted, since DKIM did not pass - gsmtp",
    "534 5.7.9 Authentication mechanism is too weak",
    "454 4.7.0 Temporary authentication failure: Connection lost to authentication server",
    "421 4.7.0 Temporary System Problem. Try again later",
    "550 5.7.1 Relaying denied: SmtpClientAuthentication is disabled for the Tenant",
]


def parsed(text: str) -> Reply:
    parser = ReplyParser()
    parser.feed(f"{text}\r\n".encode())
    reply = parser.next()
    assert reply is not None
    return reply


@pytest.mark.parametrize(("text", "code"), KNOWN)
def test_a_known_reply_has_a_remedy(text: str, code: str) -> None:
    reason = remedy_of(parsed(text))
    assert reason is not None
    assert reason.code == code


@pytest.mark.parametrize("text", OTHERS)
def test_other_replies_are_not_explained(text: str) -> None:
    assert remedy_of(parsed(text)) is None


def test_passwords_that_are_turned_off_are_about_the_login() -> None:
    """The message must not fail for it. Google's 5.7.30 is about the message."""
    assert rejects_login(parsed(KNOWN[5][0]))
    assert not rejects_login(parsed(OTHERS[1]))
