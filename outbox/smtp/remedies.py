"""What known replies of large providers about logins mean, and the remedy.

Enhanced codes alone do not suffice: 5.7.30 is about DKIM at Google and about passwords at
Microsoft. Sources: learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-
exchange-online/fix-error-code-5-7-139, techcommunity.microsoft.com/blog/exchange/4489835, and
Google's page “SMTP error reference”.
"""

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
