"""What known replies of large providers about logins and policies mean, and the remedy.

Enhanced codes alone do not suffice: 5.7.30 is about DKIM at Google and about passwords at
Microsoft. Sources: learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-
exchange-online/fix-error-code-5-7-139, techcommunity.microsoft.com/blog/exchange/4489835, and
Google's page “SMTP error reference”; for policies also support.microsoft.com, “Fix NDR error 550
5.7.515 in Outlook.com”, and senders.yahooinc.com/smtp-error-codes.
"""

from outbox.mail.server_replies import normalize
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.reply import Reply

# Basic code, enhanced code, words of the reply in lower case, and what it means; in this order.
_REPLIES = (
    (
        535,
        "5.7.139",
        "smtpclientauthentication is disabled",
        Reason(ReasonCode.MICROSOFT_SMTP_AUTH_OFF),
    ),
    (535, "5.7.139", "basic authentication", Reason(ReasonCode.MICROSOFT_PASSWORDS_OFF)),
    (535, "5.7.139", "", Reason(ReasonCode.MICROSOFT_POLICY)),
    (535, "5.7.3", "", Reason(ReasonCode.MICROSOFT_LOGIN_REJECTED)),
    (550, "5.7.30", "basic authentication", Reason(ReasonCode.MICROSOFT_PASSWORDS_OFF)),
    (534, "5.7.9", "application-specific", Reason(ReasonCode.GOOGLE_APP_PASSWORD_NEEDED)),
    (534, "5.7.9", "web browser", Reason(ReasonCode.GOOGLE_APP_PASSWORD_NEEDED)),
    (454, "4.7.0", "too many", Reason(ReasonCode.LOGINS_LIMITED)),
    (421, "4.7.66", "", Reason(ReasonCode.TLS_TOO_OLD)),
)


def remedy_of(reply: Reply) -> Reason | None:
    """Return why a known provider rejects a login or a connection, with the remedy."""
    known = [row for row in _REPLIES if row[:2] == (reply.code, reply.enhanced)]
    if not known:
        return None
    words = " ".join(reply.text.lower().split())
    return next((reason for _, _, text, reason in known if text in words), None)


# The enhanced code without its class, since each of these is temporary at first and permanent later
# (empty: any); words of the normalized reply; and what it means. The first one that fits decides.
# Other servers than Google's have 7.23 to 7.29, too (RFC 7372, RFC 7505), so those rows name no
# provider. A row that names one requires words that only this provider uses.
_POLICIES = (
    ("7.23", "ptr record", Reason(ReasonCode.POLICY_PTR)),
    ("7.25", "ptr record", Reason(ReasonCode.POLICY_PTR)),
    ("7.24", "spf record", Reason(ReasonCode.POLICY_SPF)),
    ("7.26", "dmarc policy", Reason(ReasonCode.POLICY_DMARC)),
    ("7.26", "spf record with a hard fail", Reason(ReasonCode.POLICY_SPF)),
    ("7.26", "spf or dkim", Reason(ReasonCode.POLICY_UNAUTHENTICATED)),
    ("7.27", "spf authentication didn't pass", Reason(ReasonCode.POLICY_SPF)),
    ("7.27", "spf does not pass", Reason(ReasonCode.POLICY_SPF)),
    ("7.28", "unusual rate of unsolicited mail", Reason(ReasonCode.GOOGLE_RATE)),
    ("7.29", "tls connection", Reason(ReasonCode.POLICY_TLS)),
    ("7.30", "dkim", Reason(ReasonCode.POLICY_DKIM)),
    ("7.32", "aligned", Reason(ReasonCode.POLICY_ALIGNMENT)),
    ("7.515", "authentication level", Reason(ReasonCode.MICROSOFT_UNAUTHENTICATED)),
    ("7.1", "part of their network is on our block list", Reason(ReasonCode.MICROSOFT_BLOCKED)),
    ("", "unexpected volume or user complaints", Reason(ReasonCode.YAHOO_DEFERRED)),
    ("", "permanently deferred; retrying will not succeed", Reason(ReasonCode.YAHOO_BLOCKED)),
    ("", "yahoo requires all senders to authenticate", Reason(ReasonCode.YAHOO_UNAUTHENTICATED)),
    ("7.9", "message not accepted for policy reasons. see", Reason(ReasonCode.YAHOO_POLICY)),
)


def policy_remedy_of(reply: Reply) -> Reason | None:
    """Return which rule of a known provider a rejected message breaks, with the remedy.

    The text may be that of a reply, or of a reply group. Of a reply about a login, the remedy for
    the login is returned.
    """
    if not (reply.transient or reply.permanent):
        return None
    # Each line of a reply begins with the enhanced code, which would separate the words.
    words = " ".join(normalize(reply.text).replace("…", " ").split())
    for detail, wanted, reason in _POLICIES:
        if detail in {"", reply.detail} and wanted in words:
            return reason
    return remedy_of(reply)
