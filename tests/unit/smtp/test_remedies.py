"""Replies of Google and Microsoft about logins, and the remedy for each."""

import re

import pytest

from outbox.mail.server_replies import normalize
from outbox.smtp.remedies import policy_remedy_of, remedy_of
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


# Replies as they were received, or as the provider's documentation quotes them.
POLICIES = [
    (
        (
            "421-4.7.23 The sending IP address for this message doesn't have a PTR record, or "
            "the\r\n"
            "421-4.7.23 PTR record's forward DNS entry doesn't match the sending IP address. To\r\n"
            "421 4.7.23 protect users from spam, your email has been temporarily rate limited."
        ),
        "policy_ptr",
    ),
    (
        (
            "550-5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR "
            "record\r\n"
            "550 5.7.25 setup, or the corresponding forward DNS entry does not point to the "
            "sending "
            "IP. As a policy, Gmail does not accept messages from IPs with missing PTR records."
        ),
        "policy_ptr",
    ),
    (
        (
            "451 4.7.24 The SPF record of the sending domain has one or more suspicious "
            "entries. To "
            "protect our users from spam, mail sent from your IP address has been temporarily rate "
            "limited."
        ),
        "policy_spf",
    ),
    (
        (
            "550-5.7.26 Unauthenticated email from example.org is not accepted due to domain's\r\n"
            "550-5.7.26 DMARC policy. Please contact the administrator of example.org domain if\r\n"
            "550 5.7.26 this was a legitimate mail."
        ),
        "policy_dmarc",
    ),
    (
        (
            "550-5.7.26 The MAIL FROM domain [example.org] has an SPF record with a hard fail\r\n"
            "550 5.7.26 policy (-all) but it fails to pass SPF checks with the ip: [192.0.2.1]."
        ),
        "policy_spf",
    ),
    (
        (
            "550-5.7.26 This "
            "mail has been blocked because the sender is unauthenticated.\r\n"
            "550-5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.\r\n"
            "550 5.7.26  DKIM = did not pass  SPF [example.org] with ip: [192.0.2.1] = did not pass"
        ),
        "policy_unauthenticated",
    ),
    (
        (
            "421-4.7.27 Your email has been rate limited because SPF authentication didn't pass\r\n"
            "421-4.7.27 for this message. Gmail requires all bulk email senders to authenticate\r\n"
            "421 4.7.27 their email with SPF."
        ),
        "policy_spf",
    ),
    (
        (
            "550 5.7.27 This "
            "mail has been blocked because SPF does not pass. Gmail requires all "
            "large senders to authenticate with SPF."
        ),
        "policy_spf",
    ),
    (
        (
            "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail. To protect\r\n"
            "421-4.7.28 our users from spam, mail has been temporarily rate limited. For\r\n"
            "421-4.7.28 more information, go to\r\n"
            "421-4.7.28  https://support.google.com/mail/?p=UnsolicitedRateLimitError to\r\n"
            "421 4.7.28 review our Bulk Email Senders Guidelines. af79cd13be357 - gsmtp"
        ),
        "google_rate",
    ),
    (
        (
            "550 5.7.28 There is an unusual rate of unsolicited mail originating from your IP "
            "address. To protect our users from spam, mail sent from your IP address has been "
            "blocked."
        ),
        "google_rate",
    ),
    (
        (
            "421-4.7.29 Your email has been rate limited because this message wasn't sent over "
            "a\r\n"
            "421 4.7.29 TLS connection. Gmail requires all bulk email senders to use TLS/SSL "
            "for SMTP "
            "connections."
        ),
        "policy_tls",
    ),
    (
        (
            "421 4.7.30 Your email has been rate limited because DKIM authentication didn't "
            "pass for "
            "this message. Gmail requires all email bulk senders to authenticate their email with "
            "DKIM. Authentication results: DKIM = Did not pass."
        ),
        "policy_dkim",
    ),
    (
        (
            "550 5.7.30 This "
            "mail has been blocked because DKIM does not pass. Gmail requires all "
            "large senders to authenticate with DKIM."
        ),
        "policy_dkim",
    ),
    (
        (
            "421-4.7.32 Your email has been rate limited because the From: header (RFC5322)\r\n"
            "421-4.7.32 in this message isn't aligned with either the authenticated SPF or DKIM\r\n"
            "421 4.7.32 organizational domain."
        ),
        "policy_alignment",
    ),
    (
        (
            "550 5.7.515 Access denied, sending domain example.org doesn't meet the required "
            "authentication level. Spf= Pass , Dkim= Fail , DMARC= Pass"
        ),
        "microsoft_unauthenticated",
    ),
    (
        (
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your "
            "Internet service provider since part of their network is on our block list (S3140)."
        ),
        "microsoft_blocked",
    ),
    (
        (
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected "
            "volume "
            "or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes"
        ),
        "yahoo_deferred",
    ),
    (
        (
            "553 5.7.2 [TSS09] All messages from 192.0.2.1 will be permanently deferred; Retrying "
            "will NOT succeed. See https://postmaster.yahooinc.com/error-codes"
        ),
        "yahoo_blocked",
    ),
    (
        (
            "550 5.7.9 This "
            "mail has been blocked because the sender is unauthenticated. Yahoo "
            "requires all senders to authenticate with either SPF or DKIM."
        ),
        "yahoo_unauthenticated",
    ),
    (
        (
            "554 5.7.9 Message not accepted for policy reasons. See "
            "https://postmaster.yahooinc.com/error-codes"
        ),
        "yahoo_policy",
    ),
    *[KNOWN[number] for number in (0, 3, 5)],  # 5.7.139 and Microsoft's 5.7.30 are about the login
]
NO_POLICIES = [
    "550 5.1.1 The email account that you tried to reach does not exist. - gsmtp",
    "550 5.7.1 Message rejected as spam",
    "250 2.0.0 Yahoo requires all senders to authenticate",
    "421 4.7.28 Try again later",
    # Of other servers, with the codes of RFC 7372, RFC 7505 and RFC 8689.
    "550 5.7.23 SPF validation failed",
    "550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
    "550 5.7.27 Sender address has a null MX, although its SPF record is valid",
    "550 5.7.28 Unusual rate of messages, please slow down",
    "550 5.7.29 ARC validation failed (TLS 1.3)",
    "550 5.7.30 REQUIRETLS support required",
    "554 5.7.1 Message not accepted for policy reasons",
    "554 5.7.9 Message not accepted for policy reasons: no attachments",
    "450 4.2.0 Messages to this list will be permanently deferred",
]
NEUTRAL = [
    "550 5.7.25 Client host rejected: [192.0.2.1] has no PTR record",
    "550 5.7.26 Multiple authentication checks failed: neither SPF or DKIM passed",
    "550 5.7.24 The SPF record of example.org cannot be evaluated",
    "550 5.7.30 DKIM signature required",
]


@pytest.mark.parametrize(("text", "code"), POLICIES)
def test_a_known_policy_has_a_remedy(text: str, code: str) -> None:
    reason = policy_remedy_of(parsed(text))
    assert reason is not None
    assert reason.code == code


@pytest.mark.parametrize(("text", "code"), POLICIES)
def test_the_group_of_a_known_policy_has_its_remedy(text: str, code: str) -> None:
    """A group has the reply without numbers, hosts and ids."""
    reply = parsed(text)
    reason = policy_remedy_of(Reply(reply.code, reply.enhanced, normalize(reply.text)))
    assert reason is not None
    assert reason.code == code


@pytest.mark.parametrize("text", NO_POLICIES)
def test_other_replies_break_no_known_policy(text: str) -> None:
    assert policy_remedy_of(parsed(text)) is None


@pytest.mark.parametrize("text", NEUTRAL)
def test_the_reply_of_another_server_names_no_provider(text: str) -> None:
    reason = policy_remedy_of(parsed(text))
    assert reason is not None
    assert not re.search("Google|Gmail|Yahoo|Microsoft|Outlook", reason.in_words(str))
