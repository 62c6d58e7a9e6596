"""The tests of Django that the outbox does not pass, each with its reason.

They run all the same and must fail: a test that passes after all may not stay in this list.
"""

import unittest
from collections.abc import Mapping
from typing import Any

import django

_OPTIONS = "the server, its login and its timeouts belong to an account, not to the backend"
_CONNECTION = "the backend holds no connection: a worker does, later"
_SMTPLIB = "it looks into smtplib, which is not used; unit tests of outbox.smtp look at the bytes"
_OBJECTS = "it asks for the very object that was attached; what is stored and parsed is a copy"
_FOLDED = "it looks at a header in memory; what is stored is folded for the wire, as Django does"
_TEXT = "it looks at as_string(); Python writes the 8-bit text of a parsed message as base64 there"
_POLICY = "it chooses a policy; what is queued is rendered with the policy of SMTP, as Django does"

WIRE: dict[str, str] = {
    "test_auth_attempted": _CONNECTION,
    "test_connection_timeout_custom": _OPTIONS,
    "test_direct_construction_deprecated": _OPTIONS,
    "test_email_authentication_override_settings": _OPTIONS,
    "test_email_authentication_use_settings": _OPTIONS,
    "test_email_disabled_authentication": _OPTIONS,
    "test_email_host_override_settings": _OPTIONS,
    "test_email_host_use_settings": _OPTIONS,
    "test_email_msg_uses_crlf": _SMTPLIB,
    "test_email_ssl_attempts_ssl_connection": _CONNECTION,
    "test_email_ssl_certfile_default_disabled": _OPTIONS,
    "test_email_ssl_certfile_override_settings": _OPTIONS,
    "test_email_ssl_certfile_use_settings": _OPTIONS,
    "test_email_ssl_default_disabled": _OPTIONS,
    "test_email_ssl_keyfile_default_disabled": _OPTIONS,
    "test_email_ssl_keyfile_override_settings": _OPTIONS,
    "test_email_ssl_keyfile_use_settings": _OPTIONS,
    "test_email_ssl_override_settings": _OPTIONS,
    "test_email_ssl_use_settings": _OPTIONS,
    "test_email_timeout_override_settings": _OPTIONS,
    "test_email_timeout_use_settings": _OPTIONS,
    "test_email_tls_attempts_starttls": _CONNECTION,
    "test_email_tls_default_disabled": _OPTIONS,
    "test_email_tls_override_settings": _OPTIONS,
    "test_email_tls_use_settings": _OPTIONS,
    "test_host_option_required": _OPTIONS,
    "test_ignores_settings_when_initialized_with_alias": _OPTIONS,
    "test_port_default_adapts_to_security": _OPTIONS,
    "test_prep_address_without_force_ascii": "a method of Django's own class, for its subclasses",
    "test_reopen_connection": _CONNECTION,
    "test_reopen_replaces_partial_connection": _CONNECTION,
    "test_send_messages_after_open_failed": _CONNECTION,
    "test_serialized_message_uses_crlf_line_ending": _SMTPLIB,
    "test_server_open": _CONNECTION,
    "test_smtp_connection_uses_host_and_port": _OPTIONS,
    "test_smtp_connection_uses_timeout": _OPTIONS,
    "test_ssl_context_uses_ssl_certfile_and_keyfile": _OPTIONS,
    "test_ssl_tls_mutually_exclusive": _OPTIONS,
    "test_ssl_tls_settings_mutually_exclusive": _OPTIONS,
}
STORED: dict[str, str] = {
    "test_decoded_attachment_text_MIMEPart": _OBJECTS,
    "test_decoded_attachments_MIMEText": _OBJECTS,
    "test_message_policy_compat32": _POLICY,
    "test_message_policy_cte_7bit": _POLICY,
    "test_message_policy_smtputf8": _POLICY,
}
if django.VERSION < (6, 1):
    STORED |= {"test_body_content_transfer_encoding": _TEXT, "test_folding_white_space": _FOLDED}
else:
    WIRE |= {"test_connection_timeout_default": _OPTIONS}


def exempt(case: type[unittest.TestCase], reasons: Mapping[str, str]) -> dict[str, Any]:
    """Return what a subclass of `case` overrides so that these tests are expected to fail."""
    return {
        name: unittest.expectedFailure(_copy(getattr(case, name)))
        for name in reasons
        if hasattr(case, name)
    }


def _copy(test: Any) -> Any:
    """Wrap, so that the mark does not stick to Django's own function."""

    def run(self: Any) -> None:
        test(self)

    run.__name__ = test.__name__
    return run
