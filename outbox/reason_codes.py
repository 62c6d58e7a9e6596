"""The closed list of reasons, each with its sentence in English.

Pure, since the SMTP client names its faults by these codes and knows no Django.
"""

import re
from enum import StrEnum
from functools import cached_property
from typing import Self

from outbox.texts import gettext_noop as _

_NAME = re.compile(r"%\((\w+)\)s")


class ReasonCode(StrEnum):
    """Each code with its sentence. `%(name)s` stands for an argument, which may be a reason."""

    template: str

    def __new__(cls, code: str, template: str) -> Self:
        """Create the member as a string that knows its template."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.template = template
        return member

    @cached_property
    def arguments(self) -> frozenset[str]:
        """The names of the arguments that this code has."""
        return frozenset(_NAME.findall(self.template))

    # --- words of others, quoted as they are ----------------------------------------------------
    SERVER_REPLY = "server_reply", _("%(reply)s")
    QUOTED = "quoted", _("%(text)s")  # a person's remark, or another program's record

    # --- name and connection --------------------------------------------------------------------
    DNS_TIMEOUT = "dns_timeout", _("%(host)s: DNS did not respond in time.")
    NAME_UNRESOLVED = "name_unresolved", _("%(host)s: the name does not resolve (%(cause)s).")
    ADDRESS_FORBIDDEN = (
        "address_forbidden",
        _("Connections to this server are not allowed by this installation."),
    )
    CONNECT_TIMEOUT = (
        "connect_timeout",
        _("No connection was established within %(seconds)s seconds."),
    )
    CONNECTION_REFUSED = (
        "connection_refused",
        _("No server is listening at this address and port."),
    )
    CONNECTION_RESET = "connection_reset", _("The connection was reset.")
    NETWORK_TIMEOUT = "network_timeout", _("The network timed out.")
    UNREACHABLE = "unreachable", _("The server cannot be reached (%(cause)s).")
    CONNECTION_BROKEN = "connection_broken", _("The connection broke: %(cause)s.")
    CONNECTION_CLOSED = "connection_closed", _("The connection was closed.")
    CLOSED_BY_SERVER = "closed_by_server", _("The server closed the connection.")
    SERVER_TIMEOUT = "server_timeout", _("The server took longer than %(seconds)s seconds.")
    SHUTDOWN = "shutdown", _("The server is closing the connection (421).")
    HOST_EXHAUSTED = (
        "host_exhausted",
        _("The worker's host has run out of a resource: %(cause)s. The server is not at fault."),
    )
    SESSION_DEFECT = (
        "session_defect",
        _("The connection could not be opened because of an internal error: %(cause)s"),
    )

    # --- delivery by MX -------------------------------------------------------------------------
    DNS_FAILED = "dns_failed", _("4.4.3 The DNS lookup of %(host)s failed (%(cause)s).")
    MX_HOST_TRIED = "mx_host_tried", _("Mail server of the domain: %(host)s.")
    SITE_SLOWED = (
        "site_slowed",
        _("The server asked to slow down: one connection and one message a minute for a while."),
    )
    SITE_SUSPENDED = "site_suspended", _("The server asked to send nothing for a while.")
    DOMAIN_UNKNOWN = "domain_unknown", _("5.1.2 The domain %(domain)s does not exist.")
    MX_NULL = "mx_null", _("5.1.10 %(domain)s does not accept email (null MX).")
    MX_CHANGES = (
        "mx_changes",
        _("4.4.4 The lookups of %(domain)s name other mail servers each time."),
    )
    MX_UNUSABLE = (
        "mx_unusable",
        _("5.4.4 %(domain)s has no mail server whose address is known."),
    )
    MX_FORBIDDEN = (
        "mx_forbidden",
        _("5.4.4 Connections to the mail servers of %(domain)s are not allowed."),
    )
    MX_LOOP = (
        "mx_loop",
        _("5.4.6 %(domain)s names this server itself as its mail server."),
    )
    MTA_STS_UNREAD = (
        "mta_sts_unread",
        _("The MTA-STS policy of %(domain)s could not be read (%(cause)s)."),
    )
    MTA_STS_INVALID = (
        "mta_sts_invalid",
        _("The MTA-STS policy of %(domain)s is invalid (%(cause)s)."),
    )
    MTA_STS_OTHER_HOST = (
        "mta_sts_other_host",
        _("4.7.5 The MTA-STS policy of %(domain)s does not allow the mail server %(host)s."),
    )
    TLSA_UNKNOWN = (
        "tlsa_unknown",
        _(
            "4.7.5 The TLSA records of %(host)s could not be looked up, so that its certificate"
            " cannot be verified: %(cause)s"
        ),
    )

    # --- why a level of TLS is requested of a server --------------------------------------------
    TLS_BY_DANE = "tls_by_dane", _("TLSA records of %(host)s (DANE)")
    TLS_BY_STS = "tls_by_sts", _("MTA-STS policy of %(domain)s")
    TLS_STS_TESTING = (
        "tls_sts_testing",
        _("MTA-STS policy of %(domain)s in testing mode, which requires nothing"),
    )
    TLS_BY_FLOOR = "tls_by_floor", _("TLS floor in the limits for %(source)s")
    TLS_BY_MESSAGE = "tls_by_message", _("required by the message (REQUIRETLS)")
    TLS_OPTIONAL = "tls_optional", _("not required by the message (TLS-Required: No)")
    REQUIRETLS_UNPROVEN = (
        "requiretls_unproven",
        _(
            "4.7.10 The message requires TLS, and neither DNSSEC nor an MTA-STS policy proves that"
            " %(host)s is a mail server of the domain."
        ),
    )
    REQUIRETLS_NOT_OFFERED = (
        "requiretls_not_offered",
        _("5.7.30 The message requires TLS, and the server does not support REQUIRETLS."),
    )
    REQUIRETLS_UNVERIFIED = (
        "requiretls_unverified",
        _("5.7.10 The message requires TLS, and the connection to the server is not verified."),
    )

    # --- greeting, EHLO and TLS -----------------------------------------------------------------
    GREETING_REJECTED = "greeting_rejected", _("The server accepts no messages at present.")
    EHLO_REJECTED = "ehlo_rejected", _("The server rejected EHLO.")
    STARTTLS_MISSING = (
        "starttls_missing",
        _(
            "The server does not offer STARTTLS, which this account requires. Something between"
            " here and the server may have removed it."
        ),
    )
    STARTTLS_NOT_OFFERED = "starttls_not_offered", _("The server does not offer STARTTLS.")
    STARTTLS_REJECTED = "starttls_rejected", _("The server offers STARTTLS and then rejects it.")
    STARTTLS_INJECTION = (
        "starttls_injection",
        _("Unencrypted bytes followed the reply to STARTTLS. They may have been injected."),
    )
    CERTIFICATE_REJECTED = (
        "certificate_rejected",
        _("The server's certificate is not valid: %(cause)s."),
    )
    CERTIFICATE_NAMES = (
        "certificate_names",
        _("The server's certificate is for %(found)s and not for %(names)s."),
    )
    DANE_MISMATCH = (
        "dane_mismatch",
        _("The server's certificate matches no TLSA record of %(host)s (DANE)."),
    )
    DANE_UNUSABLE = (
        "dane_unusable",
        _("%(host)s has no usable TLSA record. The connection is encrypted and not verified."),
    )
    TLS_NOT_SPOKEN = (
        "tls_not_spoken",
        _("The server does not use TLS from the first byte on this port."),
    )
    TLS_HANDSHAKE_FAILED = "tls_handshake_failed", _("The TLS handshake failed: %(cause)s.")
    TLS_HANDSHAKE_TIMEOUT = "tls_handshake_timeout", _("The TLS handshake took too long.")
    TLS_HANDSHAKE_CLOSED = (
        "tls_handshake_closed",
        _("The server closed the connection during the TLS handshake."),
    )
    TLS_FAILED = "tls_failed", _("TLS failed: %(cause)s.")

    # --- login ----------------------------------------------------------------------------------
    LOGIN_WITHOUT_TLS = (
        "login_without_tls",
        _("The account has a login, but TLS does not protect this connection."),
    )
    LOGIN_NUL = "login_nul", _("The login contains a NUL character.")
    LOGIN_NO_MECHANISM = (
        "login_no_mechanism",
        _("The server offers no usable way to log in (offered: %(offered)s)."),
    )
    LOGIN_EXTRA_CHALLENGE = (
        "login_extra_challenge",
        _("The server asks for more than the login provides."),
    )
    LOGIN_BAD_CHALLENGE = "login_bad_challenge", _("The server's login challenge is not Base64.")
    LOGIN_TOO_LONG = "login_too_long", _("The login is longer than SMTP allows.")
    LOGIN_MECHANISMS_UNKNOWN = (
        "login_mechanisms_unknown",
        _("The server offers ways to log in, but supports none of them."),
    )
    LOGIN_TEMPORARY = "login_temporary", _("The server cannot check logins at the moment.")
    LOGIN_REJECTED = "login_rejected", _("The server rejected the login.")
    LOGIN_REQUIRED = (
        "login_required",
        _("The server requires a login or TLS before it accepts messages."),
    )
    SECRET_UNREADABLE = (
        "secret_unreadable",
        _("The stored password cannot be decrypted with the current keys. Enter it again."),
    )
    SECRET_KEYS_MISSING = (
        "secret_keys_missing",
        _("The stored password cannot be decrypted: no secret keys are configured."),
    )

    # --- OAuth 2 --------------------------------------------------------------------------------
    TOKEN_NOT_CONNECTED = (
        "token_not_connected",
        _("The account is not connected. Connect it again."),
    )
    TOKEN_REVOKED = (
        "token_revoked",
        _("The access to the mailbox was revoked or has expired. Connect the account again."),
    )
    TOKEN_CLIENT_REJECTED = (
        "token_client_rejected",
        _(
            "%(service)s rejected the client id or the client secret of this site. An"
            " administrator has to correct them."
        ),
    )
    TOKEN_SERVER_FOREIGN = (
        "token_server_foreign",
        _(
            "%(host)s is not a server of %(service)s, so it gets no access token. An administrator"
            " has to correct the account."
        ),
    )
    TOKEN_REFRESH_MISSING = (
        "token_refresh_missing",
        _(
            "%(service)s sent no refresh token, so the access would end soon. An administrator has"
            " to allow offline access."
        ),
    )
    TOKEN_SCOPE_MISSING = (
        "token_scope_missing",
        _(
            "%(service)s was not allowed to send email for this site. Connect the account again"
            " and allow it."
        ),
    )
    TOKEN_SERVICE_STATUS = (
        "token_service_status",
        _("The token service of %(service)s is unavailable (status %(status)s)."),
    )
    TOKEN_SERVICE_UNREACHABLE = (
        "token_service_unreachable",
        _("The token service of %(service)s cannot be reached (%(cause)s)."),
    )
    TOKEN_RESPONSE_INVALID = (
        "token_response_invalid",
        _("The token service of %(service)s sent no valid response (status %(status)s)."),
    )
    TOKEN_REQUEST_REJECTED = (
        "token_request_rejected",
        _("The token service of %(service)s rejected the request (%(error)s)."),
    )
    TOKEN_REFRESH_WAITS = (
        "token_refresh_waits",
        _("Another worker is renewing the access token."),
    )
    TOKEN_PROVIDER_FAILED = (
        "token_provider_failed",
        _("The site's token provider failed (%(cause)s)."),
    )
    LOGIN_TOKEN_REJECTED = (
        "login_token_rejected",
        _("The server rejected the access token (status %(status)s)."),
    )
    MICROSOFT_SMTP_AUTH_OFF = (
        "microsoft_smtp_auth_off",
        _(
            "Microsoft has turned off sending by SMTP for this mailbox or its organization. An"
            " administrator can turn on “Authenticated SMTP” for the mailbox, in the Microsoft 365"
            " admin center."
        ),
    )
    MICROSOFT_PASSWORDS_OFF = (
        "microsoft_passwords_off",
        _(
            "Microsoft no longer accepts passwords for sending. Add the account again with"
            " “Connect with Microsoft”."
        ),
    )
    MICROSOFT_POLICY = (
        "microsoft_policy",
        _(
            "Microsoft rejected the login because of a policy of the organization, or because of"
            " wrong credentials. An administrator sees the cause in the sign-in log of Microsoft"
            " Entra."
        ),
    )
    MICROSOFT_LOGIN_REJECTED = (
        "microsoft_login_rejected",
        _(
            "Microsoft rejected the login. Check that the user who connected the account may send"
            " from this mailbox, then connect the account again."
        ),
    )
    GOOGLE_APP_PASSWORD_NEEDED = (
        "google_app_password_needed",
        _(
            "Google does not accept the usual password. Add the account again with “Connect with"
            " Google”, or enter an app password."
        ),
    )
    LOGINS_LIMITED = (
        "logins_limited",
        _(
            "The server accepts no further logins at present. They are repeated later. If this"
            " happens often, reduce the number of simultaneous connections."
        ),
    )
    TLS_TOO_OLD = "tls_too_old", _("The server requires TLS 1.2 or later.")
    MICROSOFT_TOKEN_UNUSED = (
        "microsoft_token_unused",
        _(
            "Microsoft ended the access because it was not used for a long time (AADSTS700082)."
            " Connect the account again."
        ),
    )
    MICROSOFT_SIGN_IN_FREQUENCY = (
        "microsoft_sign_in_frequency",
        _(
            "A Conditional Access policy of your organization ended the access (AADSTS70043)."
            " Connect the account again. An administrator can change the sign-in frequency."
        ),
    )
    MICROSOFT_PASSWORD_CHANGED = (
        "microsoft_password_changed",
        _(
            "The password of the mailbox was changed, or its sessions were revoked (AADSTS50173)."
            " Connect the account again."
        ),
    )
    MICROSOFT_NO_CONSENT = (
        "microsoft_no_consent",
        _(
            "The consent for this site is missing or was withdrawn (AADSTS65001). Connect the"
            " account again, or have an administrator of your organization consent."
        ),
    )
    MICROSOFT_SECRET_WRONG = (
        "microsoft_secret_wrong",
        _(
            "The client secret is wrong (AADSTS7000215). An administrator has to enter its value,"
            " not its id."
        ),
    )
    MICROSOFT_SECRET_EXPIRED = (
        "microsoft_secret_expired",
        _(
            "The client secret has expired (AADSTS7000222). An administrator has to create another"
            " one."
        ),
    )
    MICROSOFT_APP_UNKNOWN = (
        "microsoft_app_unknown",
        _(
            "The app is not registered in this tenant (AADSTS700016). An administrator has to"
            " correct the client id or the tenant."
        ),
    )
    MICROSOFT_USER_DISABLED = (
        "microsoft_user_disabled",
        _("The user of the mailbox is disabled (AADSTS50057). Ask your administrator."),
    )
    MICROSOFT_SIGN_IN_AGAIN = (
        "microsoft_sign_in_again",
        _(
            "Your organization requires another factor for the sign-in (AADSTS50076). Connect the"
            " account again."
        ),
    )

    # --- policies of large providers ------------------------------------------------------------
    POLICY_PTR = (
        "policy_ptr",
        _(
            "The receiving server found no PTR record of the sending IP address, or its name does"
            " not lead back to the address. The owner of the network can publish both."
        ),
    )
    POLICY_SPF = (
        "policy_spf",
        _(
            "SPF did not pass at the receiving server. Add the sending IP address to the SPF record"
            " of the envelope sender’s domain."
        ),
    )
    POLICY_DMARC = (
        "policy_dmarc",
        _(
            "The DMARC policy of the sender’s domain rejects this message, since neither SPF nor"
            " DKIM passed for that domain. Sign with a DKIM key of the domain, or send through a"
            " server that its SPF record names."
        ),
    )
    POLICY_UNAUTHENTICATED = (
        "policy_unauthenticated",
        _(
            "The receiving server rejects messages that pass neither SPF nor DKIM. Publish an SPF"
            " record that names the sending IP address, or sign with a DKIM key."
        ),
    )
    GOOGLE_RATE = (
        "google_rate",
        _(
            "Google limits the rate, because it classified many messages as unsolicited. Send"
            " more slowly, and only to recipients who want the messages."
        ),
    )
    POLICY_TLS = (
        "policy_tls",
        _("The receiving server requires TLS. Set the security of the account to STARTTLS or TLS."),
    )
    POLICY_DKIM = (
        "policy_dkim",
        _(
            "DKIM did not pass at the receiving server. Publish the record of a DKIM key of the"
            " sender’s domain, and activate the key."
        ),
    )
    POLICY_ALIGNMENT = (
        "policy_alignment",
        _(
            "The domain of the From header aligns neither with the domain of SPF nor with that of"
            " DKIM. Sign with a DKIM key of the sender’s domain, or use an envelope sender of that"
            " domain."
        ),
    )
    MICROSOFT_UNAUTHENTICATED = (
        "microsoft_unauthenticated",
        _(
            "Outlook.com requires that SPF and DKIM pass, and that the sender’s domain has a DMARC"
            " record with which one of them aligns. Publish what is missing."
        ),
    )
    MICROSOFT_BLOCKED = (
        "microsoft_blocked",
        _(
            "The network of the sending IP address is on Microsoft’s block list. The owner of the"
            " network can ask Microsoft for removal."
        ),
    )
    YAHOO_DEFERRED = (
        "yahoo_deferred",
        _(
            "Yahoo defers messages from the sending IP address because of their number, or because"
            " users complained. Delivery is retried. Send more slowly, check SPF, DKIM and DMARC,"
            " and remove recipients who complain."
        ),
    )
    YAHOO_BLOCKED = (
        "yahoo_blocked",
        _(
            "Yahoo accepts no messages from the sending IP address, and retries will not succeed."
            " Find out why recipients complain, then ask Yahoo to remove the block."
        ),
    )
    YAHOO_UNAUTHENTICATED = (
        "yahoo_unauthenticated",
        _(
            "Yahoo rejects messages that pass neither SPF nor DKIM. Publish an SPF record that"
            " names the sending IP address, or sign with a DKIM key."
        ),
    )
    YAHOO_POLICY = (
        "yahoo_policy",
        _(
            "Yahoo rejected the message because of its content, or because the sender’s domain"
            " fails DMARC. Check SPF, DKIM and DMARC of the domain, and the links in the message."
        ),
    )

    # --- replies that do not fit ----------------------------------------------------------------
    REPLY_UNSOLICITED = "reply_unsolicited", _("The server sent “%(text)s” without being asked.")
    REPLY_UNFITTING = (
        "reply_unfitting",
        _("The server replied “%(text)s” to %(command)s, which is not a valid reply."),
    )
    GREETING_UNFITTING = (
        "greeting_unfitting",
        _("The server greeted with “%(text)s”, which is not a valid greeting."),
    )
    REPLY_EARLY = "reply_early", _("The server sent a reply before it was asked.")
    REPLY_LINE_TOO_LONG = (
        "reply_line_too_long",
        _("The server sent a line of more than %(count)s bytes."),
    )
    REPLY_TOO_LONG = "reply_too_long", _("The server sent a reply of more than %(count)s lines.")
    REPLY_CODES_DIFFER = (
        "reply_codes_differ",
        _("One reply of the server has two codes, %(first)s and %(second)s."),
    )
    REPLY_INVALID = "reply_invalid", _("The server sent “%(text)s”, which is not an SMTP reply.")
    REPLY_CODE_UNKNOWN = (
        "reply_code_unknown",
        _("The server sent the code %(code)s, which SMTP does not define."),
    )
    BODY_REJECTED = "body_rejected", _("The server rejected the message before it was complete.")
    RSET_REJECTED = "rset_rejected", _("The server rejected RSET.")
    SEQUENCE_LOST = "sequence_lost", _("The server lost track of the session at %(command)s (503).")

    # --- ends of a session that are not faults ----------------------------------------------------
    SESSION_QUIT = "session_quit", _("The session was closed by QUIT.")
    SESSION_CLOSED = "session_closed", _("The client closed the connection.")
    SESSION_ABORTED = "session_aborted", _("The client aborted the connection.")
    SESSION_UNUSABLE = "session_unusable", _("This session cannot be used for further messages.")
    WITHDRAWN = "withdrawn", _("The message was withdrawn before its end was sent.")

    # --- notes of a transcript ------------------------------------------------------------------
    CONNECTING = "connecting", _("Connecting to %(address)s, port %(port)s.")
    TLS_ESTABLISHED = "tls_established", _("%(version)s, %(cipher)s, certificate of %(subject)s.")
    TRANSCRIPT_SHORTENED = (
        "transcript_shortened",
        _("The conversation is too long. Commands and replies omitted here: %(count)s."),
    )

    # --- what a server cannot be given ----------------------------------------------------------
    MESSAGE_NUL = (
        "message_nul",
        _("5.6.0 The message contains a NUL byte, which SMTP cannot transport."),
    )
    MESSAGE_TOO_LARGE = (
        "message_too_large",
        _("5.3.4 The message has %(size)s bytes. The server accepts %(limit)s at most."),
    )
    SMTPUTF8_SENDER = (
        "smtputf8_sender",
        _("5.6.7 The server does not offer SMTPUTF8, which the sender “%(address)s” needs."),
    )
    SMTPUTF8_RECIPIENT = (
        "smtputf8_recipient",
        _("5.6.7 The server does not offer SMTPUTF8, which the recipient “%(address)s” needs."),
    )
    SMTPUTF8_HEADER = (
        "smtputf8_header",
        _("5.6.7 The server does not offer SMTPUTF8, which this message's header needs."),
    )
    EIGHT_BIT_SIGNED = (
        "eight_bit_signed",
        _(
            "5.6.2 The server does not offer 8BITMIME. Re-encoding this message would break its"
            " signature."
        ),
    )
    EIGHT_BIT_STRAY = (
        "eight_bit_stray",
        _(
            "5.6.3 The server does not offer 8BITMIME, and this message has 8-bit bytes outside"
            " its parts."
        ),
    )
    PATH_INVALID = (
        "path_invalid",
        _("%(status)s “%(address)s” is not an address that SMTP can transport."),
    )
    PATH_TOO_LONG = (
        "path_too_long",
        _("%(status)s “%(address)s…” is longer than the %(count)s octets of an SMTP path."),
    )
    DOMAIN_INVALID = "domain_invalid", _("5.1.2 “%(domain)s” is not a domain name.")

    # --- outcomes of an attempt -----------------------------------------------------------------
    RECIPIENTS_LIMITED = (
        "recipients_limited",
        _("The server accepts fewer recipients in one transaction. The others follow in the next."),
    )
    EXTENSION_REJECTED = (
        "extension_rejected",
        _("The server announces %(extension)s and rejects it. The message is sent without it."),
    )
    NULL_SENDER_REJECTED = (
        "null_sender_rejected",
        _("The server rejects the null sender. The message is sent with the account's address."),
    )
    SESSION_REJECTED = (
        "session_rejected",
        _("The server accepts no further messages over this connection."),
    )
    REPORT_UNAVAILABLE = (
        "report_unavailable",
        _("A delivery report was requested, which this server does not support (DSN)."),
    )
    REPLY_LOST = (
        "reply_lost",
        _("The whole message was sent, but the server's reply was lost. %(why)s"),
    )
    WORKER_STOPPED = (
        "worker_stopped",
        _("The worker was stopped while it waited for the server."),
    )
    CONNECTION_ENDED = "connection_ended", _("The connection ended.")
    REUSED_SESSION_ENDED = "reused_session_ended", _("The reused connection had ended. %(why)s")
    ATTEMPTS_FAILED = (
        "attempts_failed",
        _("No attempt succeeded (attempts: %(attempts)s). Last failure: %(why)s"),
    )
    SOURCE_UNREADABLE = (
        "source_unreadable",
        _("The stored message cannot be read at present: %(cause)s"),
    )
    SIGNING_KEY_UNREADABLE = (
        "signing_key_unreadable",
        _("The DKIM key %(key)s cannot be decrypted with the present secret keys."),
    )
    STORAGE_SILENT = (
        "storage_silent",
        _("The storage did not respond within %(seconds)s seconds."),
    )
    SOURCE_MISSING = (
        "source_missing",
        _("The stored message is neither in the database nor in the file storage."),
    )
    DEFECT = (
        "defect",
        _("This message could not be processed because of an internal error: %(cause)s"),
    )
    RECORD_REFUSED = "record_refused", _("The database rejected the full record of this attempt.")
    LATE_REPLY = "late_reply", _("The server's reply arrived after the worker had lost its lease.")

    # --- what the sweep found -------------------------------------------------------------------
    WORKER_LOST = "worker_lost", _("The worker of this attempt ended or stopped responding.")
    WORKER_LOST_UNSENT = (
        "worker_lost_unsent",
        _("The worker stopped before the message was complete, so it was certainly not sent."),
    )
    WORKER_LOST_UNCERTAIN = (
        "worker_lost_uncertain",
        _(
            "The worker stopped when the whole message may have been sent. Whether it was sent is"
            " unknown."
        ),
    )
    LIFETIME_EXCEEDED = "lifetime_exceeded", _("The message waited longer than its queue lifetime.")
    RESENT_BY_POLICY = (
        "resent_by_policy",
        _(
            "The server's reply was lost. The account is set to retry in this case, so a recipient"
            " may receive the message twice. You can change this in the account."
        ),
    )
    ACCOUNT_DELETED = (
        "account_deleted",
        _("The account was deleted. Choose another account or cancel the message."),
    )
    ACCOUNT_DISABLED = "account_disabled", _("The account is disabled.")
    AUTHOR_DISABLED = "author_disabled", _("The author of the message is disabled.")
    AUTHOR_DELETED = "author_deleted", _("The author of the message was deleted.")
    ACCESS_ENDED = "access_ended", _("The author may no longer send with this account.")

    # --- suppression list -----------------------------------------------------------------------
    ADDRESS_SUPPRESSED = (
        "address_suppressed",
        _("The address is on the suppression list. %(why)s"),
    )
    SUPPRESSED_BOUNCED = "suppressed_bounced", _("Messages to it are undeliverable.")
    SUPPRESSED_COMPLAINED = "suppressed_complained", _("The recipient reported a message as spam.")
    SUPPRESSED_UNSUBSCRIBED = (
        "suppressed_unsubscribed",
        _("The recipient wants no further messages."),
    )
    SUPPRESSED_FOR_TAG = (
        "suppressed_for_tag",
        _("Only for messages with the tag “%(tag)s”: %(why)s"),
    )
    SUPPRESSED_MANUALLY = "suppressed_manually", _("It was added by a person.")
    SUPPRESSION_OVERRIDDEN = (
        "suppression_overridden",
        _("Delivery was released although the address is on the suppression list."),
    )

    # --- reports that came back -----------------------------------------------------------------
    REPORTED_UNDELIVERABLE = (
        "reported_undeliverable",
        _("The server accepted the message. Later, a report said that it could not be delivered."),
    )
    REPORTED_DELAYED = (
        "reported_delayed",
        _("A report says that delivery is delayed and is being tried again."),
    )
    REPORTED_DELIVERED = (
        "reported_delivered",
        _("A report says that the message was delivered."),
    )
    REPORTED_RELAYED = (
        "reported_relayed",
        _("A report says that a server accepted the message that sends no further reports."),
    )
    REPORTED_READ = "reported_read", _("A receipt came back (%(action)s).")
    REPORTED_AS_SPAM = "reported_as_spam", _("The message was reported as spam.")
    REPORT_NOT_APPLIED = (
        "report_not_applied",
        _("A report says that the message could not be delivered. It changed nothing. %(why)s"),
    )
    REPORT_OF_EARLIER_ATTEMPT = (
        "report_of_earlier_attempt",
        _("It is about an earlier attempt."),
    )
    REPORT_UNSIGNED = (
        "report_unsigned",
        _("Only its address matches, so that anyone could have written it."),
    )
    REPORT_NOT_PROVED = (
        "report_not_proved",
        _("%(what)s Only the address matches, so that anyone could have written the report."),
    )
    REPORT_OF_OTHER_STATE = (
        "report_of_other_state",
        _("The recipient is in a state that no bounce can follow."),
    )
    REPORT_CORRECTED = (
        "report_corrected",
        _("A user found that the report is not about this delivery."),
    )
    REPORT_CORRECTED_WITHOUT_CONTENT = (
        "report_corrected_without_content",
        _(
            "A user found that the report is not about this delivery. Whether the message was"
            " delivered is unknown. It cannot be sent again, since its content was removed."
        ),
    )

    # --- sensitive messages ---------------------------------------------------------------------
    CONTENT_ERASED = (
        "content_erased",
        _(
            "The content of this sensitive message was erased when its delivery ended. It cannot be"
            " sent again."
        ),
    )
    CONTENT_REMOVED = (
        "content_removed",
        _(
            "The content of this message was removed, because its retention ended or a person's"
            " data was erased. It cannot be sent again, replied to or copied."
        ),
    )
    CONTENT_REDACTED = (
        "content_redacted",
        _(
            "A person's address was erased from the stored content of this message. It cannot be"
            " sent again."
        ),
    )
    HELD_TOO_LONG = (
        "held_too_long",
        _("This sensitive message was held until the end of its lifetime. Its content was erased."),
    )

    # --- limits of an account -------------------------------------------------------------------
    LIMIT_PER_MINUTE = (
        "limit_per_minute",
        _("The limit of recipients per minute is reached (%(limit)s)."),
    )
    LIMIT_PER_DAY = "limit_per_day", _("The limit of recipients per day is reached (%(limit)s).")

    # --- webhook calls --------------------------------------------------------------------------
    WEBHOOK_RESPONSE = "webhook_response", _("%(status)s %(phrase)s")
    WEBHOOK_NO_RESPONSE = "webhook_no_response", _("No complete response arrived: %(cause)s")
    WEBHOOK_NOT_ALLOWED = (
        "webhook_not_allowed",
        _("Calls to this URL are not allowed by this installation."),
    )
    WEBHOOK_NOT_HTTP = "webhook_not_http", _("The response is not valid HTTP.")
    WEBHOOK_SKIPPED = (
        "webhook_skipped",
        _("Not called, because another call to this webhook got no response. %(why)s"),
    )

    # --- reports on TLS to `https:` URIs ----------------------------------------------------------
    TLS_REPORT_REJECTED = "tls_report_rejected", _("%(uri)s: HTTP %(status)s.")
    TLS_REPORT_FAILED = "tls_report_failed", _("%(uri)s: %(why)s")
    HTTP_INVALID = "http_invalid", _("The server's response is not valid HTTP.")

    # --- notifications of alarms ----------------------------------------------------------------
    COMMAND_FAILED = "command_failed", _("The command ended with the code %(code)s.")
    COMMAND_TIMEOUT = "command_timeout", _("The command took longer than %(seconds)s seconds.")
    COMMAND_NOT_STARTED = "command_not_started", _("The command could not be started: %(cause)s")

    # --- received messages ----------------------------------------------------------------------
    RECEIVED_UNREADABLE = (
        "received_unreadable",
        _("The message could not be read completely. It is stored, and stays on the server."),
    )
    RECEIVED_NOT_STORED = (
        "received_not_stored",
        _("The message could not be stored, and stays on the server: %(cause)s"),
    )
    FETCH_INTERRUPTED = (
        "fetch_interrupted",
        _("The messages could not be fetched because of an error in this program: %(cause)s"),
    )
    FETCH_NO_LOGIN = (
        "fetch_no_login",
        _("There is no password for this mailbox. Enter the username and the password."),
    )
    FETCH_NOT_ALLOWED = (
        "fetch_not_allowed",
        _(
            "The access to the account allows only to send messages. Connect it with %(service)s"
            " again on the page of the mailbox, and allow to read messages."
        ),
    )
    FETCH_TOKEN_FOREIGN = (
        "fetch_token_foreign",
        _(
            "%(host)s is not a server of %(service)s, which the account is connected with. Enter a"
            " username and a password for this mailbox."
        ),
    )

    # --- fetching -------------------------------------------------------------------------------
    MAILBOX_IN_USE = "mailbox_in_use", _("Another session has the mailbox open.")
    LOGIN_TOO_SOON = "login_too_soon", _("The server wants a pause between two logins.")
    SERVER_UNAVAILABLE = "server_unavailable", _("The server is unavailable at present.")
    MAILBOX_UNAVAILABLE = (
        "mailbox_unavailable",
        _("The server gives no access to this mailbox. Contact the provider."),
    )
    LOGIN_CONTROL_CHARACTER = (
        "login_control_character",
        _("The login contains a line break or a NUL character."),
    )
    LOGIN_NOT_ASCII = (
        "login_not_ascii",
        _("The server allows only ASCII characters in a user name and a password."),
    )
    RESPONSE_INVALID = (
        "response_invalid",
        _("The server's response violates the protocol: %(cause)s."),
    )
    COMMAND_REJECTED = "command_rejected", _("The server rejected the command %(command)s.")
    SESSION_TOO_LONG = (
        "session_too_long",
        _("The session took too long. The next one continues where it ended."),
    )
    INBOX_FULL = (
        "inbox_full",
        _(
            "Your received messages take up %(size)s MB. The limit is %(limit)s MB. New messages "
            "stay on the server. Delete received messages permanently to make room."
        ),
    )
    FETCH_TOO_LARGE = (
        "fetch_too_large",
        _("The message is too large to be fetched (%(size)s bytes, limit %(limit)s)."),
    )
    FETCH_BROKE = (
        "fetch_broke",
        _("The connection broke while the message was downloaded (attempts: %(attempts)s)."),
    )
    QUIT_FAILED = (
        "quit_failed",
        _("The end of the session failed, so no message counts as deleted. %(why)s"),
    )
    IMAP_MISSING = (
        "imap_missing",
        _("This installation lacks the package for IMAP (imapclient)."),
    )
    SENT_FOLDER_MISSING = (
        "sent_folder_missing",
        _("The mailbox has no folder for sent messages."),
    )
    SENT_COPY_INTERRUPTED = (
        "sent_copy_interrupted",
        _("The worker stopped while it stored the copy in the mailbox."),
    )
    SENT_COPY_UNREADABLE = (
        "sent_copy_unreadable",
        _("The content of the message could not be read here: %(cause)s"),
    )

    # --- imported history -----------------------------------------------------------------------
    IMPORTED_SENT = (
        "imported_sent",
        _("%(app)s sent this message. The message was rendered again when it was imported."),
    )
    IMPORTED_EXCLUDED = (
        "imported_excluded",
        _(
            "%(app)s was configured not to send to this recipient. The message was rendered again"
            " when it was imported."
        ),
    )
    IMPORTED_FAILED = (
        "imported_failed",
        _("%(text)s (The message was rendered again when it was imported.)"),
    )
    IMPORTED_UNEXPLAINED = (
        "imported_unexplained",
        _(
            "%(app)s could not send this message and recorded no reason. The message was rendered"
            " again when it was imported."
        ),
    )
