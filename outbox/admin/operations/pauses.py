"""The questions before the dashboard pauses, resumes or retries delivery, or drains a worker."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox import api
from outbox.admin.base import USES_UNFOLD
from outbox.api.pausing import REASON_MAX
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import Account, Destination, Operations, Pause, Worker
from outbox.models.access import can_change_site
from outbox.web.parameters import integer
from outbox.web.reauthentication import recently_authenticated_posts

_HOURS = {
    "1": gettext_lazy("1 hour"),
    "4": gettext_lazy("4 hours"),
    "24": gettext_lazy("1 day"),
    "": gettext_lazy("until delivery is resumed"),
}


class PauseForm(forms.Form):
    """Why, and for how long."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=REASON_MAX,
        help_text=gettext_lazy("Shown with your name on the pages of waiting messages."),
    )
    hours = forms.ChoiceField(
        label=gettext_lazy("Duration"), choices=list(_HOURS.items()), required=False
    )

    def until(self) -> dt.datetime | None:
        """Return when the pause ends by itself."""
        hours = self.cleaned_data["hours"]
        return database_now(get_conf().database) + dt.timedelta(hours=int(hours)) if hours else None


class TagPauseForm(PauseForm):
    """The same for the messages with a tag."""

    tag = forms.CharField(
        label=gettext_lazy("Tag"),
        max_length=500,
        help_text=gettext_lazy(
            "As the app gave it, with the same capital letters. Messages that are queued later wait"
            " as well."
        ),
    )
    field_order = ("tag",)


@recently_authenticated_posts
def pause_view(request: HttpRequest, admin_site: AdminSite) -> HttpResponse:
    """Ask why and for how long delivery is paused: of an account, of a tag, or of everything.

    The address names the account, and a tag with which the form begins.
    """
    _check(request)
    account = None
    if key := request.GET.get("account", ""):
        accounts = Account.objects.using(get_conf().database)
        account = get_object_or_404(accounts, pk=integer(key) or 0)
    is_tag = account is None and "tag" in request.GET
    form_class = TagPauseForm if is_tag else PauseForm
    form = form_class(request.POST or None, initial={"tag": request.GET.get("tag", "")})
    if request.method == "POST" and form.is_valid():
        reason, tag = form.cleaned_data["reason"], form.cleaned_data.get("tag", "")
        api.pause(account, tag=tag, reason=reason, until=form.until(), actor=_user(request))
        messages.success(request, _("Delivery is paused."))
        return redirect("admin:outbox_operations_changelist")
    title = _("Pause all delivery?")
    if account is not None:
        title = _("Pause delivery with the account “%(name)s”?") % {"name": account}
    elif is_tag:
        title = _("Pause delivery of messages with a tag?")
    effect = _("Deliveries already in progress will complete. All other messages wait.")
    if is_tag:
        effect = _(
            "Deliveries already in progress will complete. Other messages with the tag wait."
        )
    button = _("Pause delivery")
    return _question(request, admin_site, title=title, effect=effect, form=form, button=button)


@recently_authenticated_posts
def resume_view(request: HttpRequest, admin_site: AdminSite, pk: int) -> HttpResponse:
    """Ask before a pause is ended."""
    _check(request)
    paused = get_object_or_404(Pause.objects.using(get_conf().database), pk=pk)
    if request.method == "POST":
        if api.resume(paused, actor=_user(request)):
            messages.success(request, _("Delivery is resumed."))
        else:
            messages.info(request, _("The pause had already ended."))
        return redirect("admin:outbox_operations_changelist")
    title = _("Resume delivery?")
    effect = _("All messages that are waiting because of this pause become due: %(reason)s")
    effect %= {"reason": paused.reason}
    return _question(
        request, admin_site, title=title, effect=effect, form=None, button=_("Resume delivery")
    )


@recently_authenticated_posts
def drain_view(request: HttpRequest, admin_site: AdminSite, pk: int) -> HttpResponse:
    """Ask before a worker is drained, or claims again."""
    _check(request)
    workers = Worker.objects.using(get_conf().database).filter(ended_at=None)
    worker = get_object_or_404(workers, pk=pk)
    is_end = worker.drain_requested_at is not None
    if request.method == "POST":
        if is_end:
            api.end_drain(worker, actor=_user(request))
            messages.success(request, _("The worker claims messages again."))
        else:
            api.drain(worker, actor=_user(request))
            messages.success(request, _("The worker is being drained."))
        return redirect("admin:outbox_operations_changelist")
    if is_end:
        title, button = _("End the drain of worker “%(name)s”?"), _("End drain")
        effect = _("The worker claims messages again, within a few seconds.")
    else:
        title, button = _("Drain worker “%(name)s”?"), _("Drain worker")
        effect = _(
            "The worker claims nothing more. Deliveries already in progress will complete. Other "
            "workers take the messages that it has not begun. Then it can be stopped without delay."
        )
    title %= {"name": worker}
    return _question(request, admin_site, title=title, effect=effect, form=None, button=button)


@recently_authenticated_posts
def probe_view(request: HttpRequest, admin_site: AdminSite, pk: int) -> HttpResponse:
    """Ask before delivery to a destination is tried at once, although its circuit is open."""
    _check(request)
    destinations = Destination.objects.using(get_conf().database)
    destination = get_object_or_404(destinations, pk=pk)
    if request.method == "POST":
        if api.close_circuit(destination):
            messages.success(request, _("A worker connects now."))
        else:
            messages.info(request, _("The circuit was closed already."))
        return redirect("admin:outbox_operations_changelist")
    title = _("Connect to “%(name)s” now?") % {"name": destination}
    effect = _(
        "A worker connects at once and sends what is due. "
        "If the server still fails, delivery waits again."
    )
    button = _("Retry connection")
    return _question(request, admin_site, title=title, effect=effect, form=None, button=button)


def _check(request: HttpRequest) -> None:
    if not can_change_site(request.user):
        raise PermissionDenied


def _user(request: HttpRequest) -> Any:
    return request.user


def _question(request: HttpRequest, admin_site: AdminSite, **context: Any) -> HttpResponse:
    values = {
        **admin_site.each_context(request),
        "opts": Operations._meta,  # django-unfold links to its list
        "uses_unfold": USES_UNFOLD,
        "back": reverse("admin:outbox_operations_changelist"),
        "back_title": capfirst(Operations._meta.verbose_name_plural),
        **context,
    }
    return TemplateResponse(request, "outbox/admin/question.html", values)
