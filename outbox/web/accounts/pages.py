"""The page of an account, which several views show."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import render

from outbox.api import mailboxes, oauth
from outbox.mail.addresses import Address
from outbox.web.accounts.blocked import blocked_by_account, can_retry
from outbox.web.accounts.discovery import Suggestion
from outbox.web.accounts.forms import AccountForm
from outbox.web.auth import UserRequest


def account_page(
    request: UserRequest,
    form: AccountForm,
    *,
    found: Suggestion | None = None,
    address: Address | None = None,
    context: Mapping[str, object] | None = None,
) -> HttpResponse:
    """Show the form of an account, with what blocks its messages."""
    account = form.instance
    blocked = blocked_by_account([account]).get(account.pk, []) if account.pk else []
    domain = address.domain if address else ""
    kind = found.provider.oauth if found and found.provider else ""
    if account.pk:
        connector = oauth.provider_of_account(account)
    else:
        connector = oauth.provider_for(kind, domain) if domain else None
    mailbox = mailboxes.mailbox_of(account)
    shown = {
        **(context or {}),
        "form": form,
        "account": account,
        "found": found,
        "domain": domain,
        "address": address.spec if address else "",
        "connection": oauth.connection_of(account),
        "connector": connector,
        "mailbox": mailbox,
        "is_fetching": mailbox is not None and mailboxes.is_being_fetched(mailbox),
        "tested_at": account.tested_at,
        "blocked": blocked,
        "can_retry": can_retry(blocked),
        "page": "accounts",
    }
    # A connection test ignores errors in the other fields.
    has_errors = form.errors and not context
    status = HTTPStatus.UNPROCESSABLE_ENTITY if has_errors else HTTPStatus.OK
    return render(request, "outbox/account.html", shown, status=status)


def typed_secret(form: AccountForm) -> str | None:
    """Return the password to use; None keeps the stored one."""
    if not form.cleaned_data.get("username"):
        return ""  # without a login no password is stored
    return form.cleaned_data.get("password") or None
