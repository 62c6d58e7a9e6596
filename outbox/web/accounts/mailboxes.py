"""The mailbox of an account: its settings, a connection test, and fetching at once."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from outbox.api import connection_tests, oauth
from outbox.api import mailboxes as api
from outbox.models import Account, Mailbox
from outbox.web.accounts.connection_tests import mailbox_context
from outbox.web.accounts.mailbox_form import MailboxForm
from outbox.web.auth import UserRequest, signed_in
from outbox.web.reauthentication import recently_authenticated_posts


@sensitive_post_parameters("password")
@signed_in
@recently_authenticated_posts
@require_http_methods(["GET", "POST"])
def mailbox(request: UserRequest, pk: int) -> HttpResponse:
    """Edit the mailbox of an account; a new one has the settings of a known provider."""
    found = _mailbox(request, pk)
    if request.method != "POST":
        return _page(request, MailboxForm(instance=found), {})
    form = MailboxForm(request.POST, instance=found)
    if not form.is_valid():
        return _page(request, form, {})
    password = form.cleaned_data["password"] or None
    try:
        api.save_mailbox(
            form.instance, password=password, actor=request.user, fields=form.changed_data
        )
    except ImproperlyConfigured as error:
        form.add_error("password", str(error))
        return _page(request, form, {})
    messages.success(request, _("Mailbox saved."))
    return redirect("outbox:account-mailbox", pk)


@sensitive_post_parameters("password")
@signed_in
@require_POST
def test_mailbox(request: UserRequest, pk: int) -> HttpResponse:
    """Test the connection with the values in the form, which are not stored."""
    form = MailboxForm(request.POST, instance=_mailbox(request, pk))
    if token := request.POST.get("test", ""):
        context = mailbox_context(connection_tests.find_test(request.user, token))
    elif errors := form.server_errors:
        context = {"server_errors": errors}
    else:
        password = form.cleaned_data.get("password") or None
        try:
            test = connection_tests.request_mailbox_test(request.user, form.instance, password)
        except connection_tests.TestRunningError:
            context = {"is_busy": True}
        else:
            context = mailbox_context(test)
    if request.htmx:
        return render(request, "outbox/_mailbox_probe.html", context | {"account_id": pk})
    return _page(request, form, context)


@signed_in
@require_POST
def fetch(request: UserRequest, pk: int) -> HttpResponse:
    """Request that a worker fetches the mailbox at once."""
    found = api.mailbox_of(_own(request, pk))
    if found is not None and api.fetch_now(found):
        messages.success(request, _("New messages are being fetched."))
    else:
        messages.info(request, _("This account does not fetch messages."))
    return redirect("outbox:account-mailbox", pk)


@signed_in
@recently_authenticated_posts
@require_POST
def remove(request: UserRequest, pk: int) -> HttpResponse:
    """Delete the settings of the mailbox."""
    found = api.mailbox_of(_own(request, pk))
    if found is not None:
        api.remove_mailbox(found, actor=request.user)
        messages.success(request, _("Mailbox removed. The messages that were fetched stay here."))
    return redirect("outbox:account", pk)


def _page(request: UserRequest, form: MailboxForm, context: dict[str, object]) -> HttpResponse:
    stored = api.mailbox_of(form.instance.account)
    count, reasons = api.skipped_messages(stored) if stored is not None else (0, [])
    unfiled, unfiled_reasons = api.unfiled_copies(stored) if stored is not None else (0, [])
    shown = {
        **context,
        "form": form,
        "account": form.instance.account,
        "account_id": form.instance.account_id,
        "mailbox": stored,
        "is_fetching": stored is not None and api.is_being_fetched(stored),
        "skipped_count": count,
        "skipped_reasons": reasons,
        "downloads_everything": stored is not None and api.downloads_everything(stored),
        "unfiled_count": unfiled,
        "unfiled_reasons": unfiled_reasons,
        "connector": oauth.provider_to_fetch(form.instance.account),
        "page": "accounts",
    }
    has_errors = form.errors and not context
    status = HTTPStatus.UNPROCESSABLE_ENTITY if has_errors else HTTPStatus.OK
    return render(request, "outbox/mailbox.html", shown, status=status)


def _mailbox(request: UserRequest, pk: int) -> Mailbox:
    account = _own(request, pk)
    return api.mailbox_of(account) or api.suggested_mailbox(account)


def _own(request: UserRequest, pk: int) -> Account:
    return get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
