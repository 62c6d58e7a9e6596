"""The suppression list: search, add, remove, import and export."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, pgettext
from django.utils.translation import gettext_lazy as _

from outbox.admin.base import USES_UNFOLD
from outbox.admin.change_list import KeysetChangeList
from outbox.admin.filters import ConditionFilter
from outbox.admin.formatting import EMPTY, breaking_at_domain
from outbox.admin.protected import ProtectedAdmin, protected
from outbox.admin.streaming import streamed
from outbox.api import audit, suppression_import, suppressions
from outbox.api.csv_files import CSV_TYPE, csv_lines
from outbox.api.reasons import in_words
from outbox.api.values import read_tag
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import AddressError, parse_address
from outbox.models import Account, AuditAction, Suppression, SuppressionReason
from outbox.models.access import of_visible_accounts, sees_all_accounts
from outbox.models.suppression import folded_address
from outbox.templatetags.outbox_display import moment
from outbox.web.display import inert

FILE_MAX = 20_000_000  # bytes of an imported file
_EVIDENCE_SHOWN = 100  # characters

if TYPE_CHECKING:
    SuppressionModelForm = forms.ModelForm[Suppression]
else:
    SuppressionModelForm = forms.ModelForm


class SuppressionForm(SuppressionModelForm):
    """The form of a new entry."""

    why = forms.ChoiceField(
        label=_("Reason"), choices=SuppressionReason.choices, initial=SuppressionReason.MANUAL
    )

    class Meta:
        model = Suppression
        fields = ("address", "account", "tag", "evidence", "until")
        help_texts: ClassVar = {
            "tag": _("Only the account's messages with this tag. Empty: all messages."),
        }

    def clean_address(self) -> str:
        try:
            return parse_address(self.cleaned_data["address"]).spec
        except AddressError as error:
            raise ValidationError(in_words(error)) from error

    def clean_tag(self) -> str:
        tag: str = self.cleaned_data["tag"]
        if tag and self.cleaned_data.get("account", ...) is None:  # if it is invalid, it is missing
            raise ValidationError(_("Choose the account, or leave the tag empty."))
        try:
            return read_tag("tag", tag)
        except InvalidMessageError as error:
            raise ValidationError(in_words(error)) from error


class ImportForm(forms.Form):
    """A CSV file, and the list that gets its addresses."""

    file = forms.FileField(label=_("CSV file"))
    account = forms.ModelChoiceField(
        label=_("Account"),
        queryset=Account.objects.none(),
        required=False,
        empty_label=_("the whole site"),
    )

    def __init__(self, user: AbstractBaseUser | AnonymousUser, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["account"]
        field.queryset = Account.objects.filter(of_visible_accounts(user, "")).order_by("name")
        field.required = not sees_all_accounts(user)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > FILE_MAX:
            raise ValidationError(_("The file is too large. Split it."))
        try:
            decoder = codecs.getincrementaldecoder("utf-8-sig")()
            for chunk in file.chunks():
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise ValidationError(_("Save the file in UTF-8.")) from error
        file.seek(0)
        return file


class ScopeFilter(ConditionFilter):
    """Entries of the site, or of accounts."""

    title = _("list")
    parameter_name = "list"
    conditions: ClassVar[Any] = {
        "site": (_("the whole site"), Q(account=None)),
        "account": (_("of an account"), Q(account__isnull=False)),
    }


class ForceFilter(ConditionFilter):
    """Entries in force, or expired ones."""

    title = _("state")
    parameter_name = "force"
    conditions: ClassVar[Any] = {
        "yes": (_("in force"), Q(until=None) | Q(until__gt=Now())),
        "no": (_("expired"), Q(until__lte=Now())),
    }


class SuppressionChangeList(KeysetChangeList):
    """The list, with links to its export and to the import."""

    export_url: str
    import_url: str
    counted: str  # the plural of the model's name is the list

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        text = ngettext("%(count)s address", "%(count)s addresses", self.result_count)
        self.counted = text % {"count": self.result_count}
        self.export_url = reverse("admin:outbox_suppression_export") + self.get_query_string()
        allowed = self.model_admin.has_add_permission(request)
        self.import_url = reverse("admin:outbox_suppression_import") if allowed else ""


@admin.register(Suppression)
class SuppressionAdmin(ProtectedAdmin):
    """Entries are added and removed. Adding an address again replaces its entry."""

    account_path = "account"
    form = SuppressionForm
    change_list_template = "outbox/admin/change_list.html"
    list_display = (
        "address_shown",
        "reason_shown",
        "evidence_",
        "scope_and_tag",
        "since_shown",
        "until_shown",
        "created_by",
    )
    list_filter = (ScopeFilter, ForceFilter)
    list_select_related = ("account", "created_by")
    search_fields = ("address",)  # see get_search_results
    search_help_text = _("The beginning of an address")
    ordering = ("-pk",)
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    is_read_only = True
    fields = (
        "address",
        "scope",
        "tag_shown",
        "reason_shown",
        "evidence",
        "since",
        "until",
        "created_by",
    )
    readonly_fields = ("scope", "tag_shown", "reason_shown", "created_by")

    def get_fields(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        """Return the fields of an entry, or those of the form for a new one."""
        if obj is None:
            return ("address", "account", "tag", "why", "evidence", "until")
        return super().get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[SuppressionChangeList]:
        """Return the class of the list."""
        return SuppressionChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Limit to addresses that begin with the text, in any case."""
        term = folded_address(search_term.replace("\0", "").strip())
        return (queryset.filter(folded__startswith=term) if term else queryset), False

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: Any) -> None:
        entry = suppressions.suppress(
            obj.address,
            account=obj.account,
            tag=obj.tag,
            reason=form.cleaned_data["why"],
            evidence=obj.evidence,
            until=obj.until,
            actor=request.user,
        )
        obj.pk = entry.pk

    def delete_model(self, request: HttpRequest, obj: Suppression) -> None:
        suppressions.remove([obj], request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> None:
        suppressions.remove(queryset.select_related("account"), request.user)

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of the import and the export as well."""
        wrap, name = self.admin_site.admin_view, "outbox_suppression_{}".format
        return [
            path("export/", wrap(self.export_view), name=name("export")),
            path("import/", wrap(self.import_view), name=name("import")),
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Return the entries of the filters and the search as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters as error:
            raise Http404 from error
        selection = request.GET.urlencode()
        audit.record(AuditAction.SUPPRESSIONS_EXPORTED, request=request, selection=selection)
        rows = suppression_import.export_rows(found)
        lines = csv_lines(suppression_import.COLUMNS, rows)
        return streamed(request, lines, CSV_TYPE, "suppressions.csv")

    @protected
    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a file, and add its addresses."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.user, request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            result = suppression_import.import_csv(
                codecs.iterdecode(form.cleaned_data["file"], "utf-8-sig"),
                account=form.cleaned_data["account"],
                actor=request.user,
            )
            _report(request, result)
            return redirect("admin:outbox_suppression_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Import a suppression list"),
            "opts": self.opts,
            "uses_unfold": USES_UNFOLD,
            "form": form,
        }
        return TemplateResponse(request, "outbox/admin/import_suppressions.html", context)

    @admin.display(description=_("list"))
    def scope(self, entry: Suppression) -> str:
        return entry.account.name if entry.account else gettext("the whole site")

    @admin.display(description=_("list"))
    def scope_and_tag(self, entry: Suppression) -> str:
        scope = self.scope(entry)
        if not entry.tag:
            return scope
        values = {"scope": scope, "tag": inert(entry.tag)}
        return gettext("%(scope)s, tag “%(tag)s”") % values

    @admin.display(description=_("tag"))
    def tag_shown(self, entry: Suppression) -> str:
        return inert(entry.tag) or EMPTY

    @admin.display(description=_("reason"))
    def reason_shown(self, entry: Suppression) -> str:
        return in_words(entry.reason)

    @admin.display(description=_("address"))
    def address_shown(self, entry: Suppression) -> SafeString:
        return format_html("<bdi>{}</bdi>", breaking_at_domain(inert(entry.address)))

    @admin.display(description=_("since"))
    def since_shown(self, entry: Suppression) -> SafeString | str:
        return moment(entry.since)

    @admin.display(description=_("until"))
    def until_shown(self, entry: Suppression) -> SafeString | str:
        return moment(entry.until) if entry.until else EMPTY

    @admin.display(description=_("evidence"))
    def evidence_(self, entry: Suppression) -> str:
        text = inert(entry.evidence)
        return text if len(text) <= _EVIDENCE_SHOWN else f"{text[:_EVIDENCE_SHOWN]}…"


def _report(request: HttpRequest, result: suppression_import.ImportResult) -> None:
    text = gettext("Added: %(added)d. Replaced: %(replaced)d. Rejected: %(rejected)d.")
    counts = {
        "added": result.added,
        "replaced": result.replaced,
        "rejected": result.rejected,
    }
    messages.success(request, text % counts)
    if result.examples:
        separator = pgettext("between entries", ", ")
        text = gettext("Lines that were rejected: %(lines)s")
        messages.warning(request, text % {"lines": separator.join(result.examples)})
    if result.is_cut:
        text = gettext("Only the first %(count)d lines were read.")
        messages.warning(request, text % {"count": suppression_import.ROWS_MAX})
