"""Accounts, which staff may edit. A stored password is never shown."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from outbox.admin.protected import DeletesRelatedAdmin
from outbox.api import audit, oauth, sharing
from outbox.api.account_removal import effects_of_removal, remove_account
from outbox.api.accounts import retry_after_commit
from outbox.api.destination_limits import sites_of
from outbox.api.mailboxes import fetch_with_new_login
from outbox.api.reasons import in_words
from outbox.api.sender_domain import domain_of
from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, parse_address
from outbox.models import Account, AuditAction, OAuthAccess, OAuthProvider, Route, Suppression
from outbox.models.access import sees_all_accounts
from outbox.models.account import SERVER_FIELDS, TRUST_ACCOUNT
from outbox.web.accounts.forms import SiteChoice
from outbox.web.accounts.hosts import clean_host
from outbox.web.accounts.passwords import PASSWORD_IS_VOID, changed_server_fields

if TYPE_CHECKING:
    AccountModelForm = forms.ModelForm[Account]
else:
    AccountModelForm = forms.ModelForm


_WITH_SERVER = ("host", "username", "new_password")  # without direct delivery only


class AccountForm(AccountModelForm):
    """The form of an account. An empty password field keeps the stored password."""

    new_password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text=_("Stored encrypted and never shown. Leave it empty to keep the stored one."),
    )
    forget_password = forms.BooleanField(label=_("Forget the stored password"), required=False)
    app_provider = forms.ModelChoiceField(
        label=_("App-only access"),
        required=False,
        queryset=OAuthProvider.objects.filter(access=OAuthAccess.APP),
        help_text=_(
            "The provider whose administrator allowed this site to send from the mailbox that the "
            "username names. Then no password is needed."
        ),
    )

    class Meta:
        model = Account
        exclude = ("secret_encrypted",)  # every other field is editable
        widgets: ClassVar = {"suppress_bounces": SiteChoice}
        help_texts: ClassVar = {
            "staff_groups": _(
                "Staff in these groups see the account and its messages, as far as their"
                " permissions allow. The permission to see every account does not depend on groups."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "route" in self.fields:
            self.fields["route"].required = False  # without a choice it stays
        self.stored_provider = oauth.app_provider_of(self.instance)
        if self.stored_provider is not None:
            self.initial["app_provider"] = self.stored_provider.pk

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error. One of a field that the user may not change is about the account."""
        by_field = getattr(error, "error_dict", None)
        if field is not None or by_field is None:
            super().add_error(field, error)
            return
        for name, errors in by_field.items():
            super().add_error(name if name in self.fields else None, errors)

    def clean_route(self) -> str:
        return self.cleaned_data["route"] or self.instance.route

    def clean_from_address(self) -> str:
        return _address(self.cleaned_data["from_address"])

    def clean_reply_to(self) -> str:
        return _address(self.cleaned_data["reply_to"])

    def clean(self) -> dict[str, Any] | None:
        cleaned = self.cleaned_data
        is_direct = cleaned.get("route", self.instance.route) == Route.DIRECT
        if is_direct:  # it has no server of its own, and no login
            cleaned |= {name: "" for name in _WITH_SERVER if name in cleaned}
            self.errors.pop("host", None)
        changed = changed_server_fields(self.instance, cleaned)
        if changed and "is_trusted" not in self.fields:
            self.instance.is_trusted = False  # it was trusted with its former server
        is_trusted = cleaned.get("is_trusted", self.instance.is_trusted)
        if "host" in cleaned and not is_direct:
            self._clean_host(cleaned["host"], is_trusted=is_trusted)
        self._clean_app_provider(cleaned)
        replacing = ("new_password", "forget_password", "app_provider")
        keeps_secret = not any(cleaned.get(name) for name in replacing)
        if changed and keeps_secret and self.instance.has_secret and cleaned.get("username"):
            self.add_error("new_password", PASSWORD_IS_VOID)
        return super().clean()

    def _clean_app_provider(self, cleaned: dict[str, Any]) -> None:
        provider = cleaned.get("app_provider", self.stored_provider)
        host = cleaned.get("host", self.instance.host)
        if provider is None or "host" in self.errors or provider.has_server(host):
            return
        name = "app_provider" if "app_provider" in self.fields else None
        text = _("“%(host)s” is not a server of %(name)s. Access tokens are sent to its own only.")
        self.add_error(name, ValidationError(text, params={"host": host, "name": provider.name}))

    def _clean_host(self, typed: str, *, is_trusted: bool) -> None:
        allow_private = is_trusted or get_conf().allow_private_hosts
        try:
            self.cleaned_data["host"] = clean_host(typed, allow_private=allow_private)
        except ValidationError as error:
            self.add_error("host", error)

    def save(self, commit: bool = True) -> Account:  # noqa: FBT001, FBT002  # Django's signature
        if self.cleaned_data["forget_password"]:
            self.instance.secret = ""
        if self.cleaned_data["new_password"]:
            self.instance.secret = self.cleaned_data["new_password"]
        return super().save(commit)


def _address(text: str) -> str:
    if text:
        try:
            parse_address(text)
        except AddressError as error:
            raise ValidationError(in_words(error)) from error
    return text


@admin.register(Account)
class AccountAdmin(DeletesRelatedAdmin):
    """Sending accounts and their servers."""

    account_path = ""
    form = AccountForm
    list_display = (
        "name",
        "from_address",
        "route",
        "host",
        "security",
        "owner",
        "default_for_apps",
        "is_active",
        "is_trusted",
    )
    list_filter = ("route", "security", "is_app_default", "is_active", "is_trusted")
    list_select_related = ("owner",)
    search_fields = ("name", "from_address", "host")
    readonly_fields = ("password_state", "sender_domain", "mx_sites", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "owner", "users", "groups", "is_app_default", "is_active")}),
        (_("Staff"), {"fields": ("staff_groups",)}),
        (
            _("Identity"),
            {
                "fields": (
                    "from_name",
                    "from_address",
                    "sender_domain",
                    "sender_domains",
                    "reply_to",
                    "signature",
                )
            },
        ),
        (
            _("Bounces"),
            {"fields": ("return_path", "suppress_bounces")},
        ),
        (
            _("Server"),
            {
                "fields": ("route", "host", "port", "security", "is_trusted"),
                "description": _("Direct delivery has no server of its own, and no login."),
            },
        ),
        (
            _("Login"),
            {
                "fields": (
                    "username",
                    "password_state",
                    "new_password",
                    "forget_password",
                    "secret_is_token",
                    "app_provider",
                )
            },
        ),
        (
            _("Limits"),
            {
                "fields": ("max_connections", "per_minute", "per_day"),
                "description": _(
                    "With direct delivery, these limits apply to the mail servers of each domain"
                    " (MX) separately, not to the account as a whole."
                ),
            },
        ),
        (
            _("Retention"),
            {
                "fields": ("content_days", "transcript_days", "message_days"),
                "description": _(
                    "Days after the end of a message's delivery. Empty: the number in the"
                    " settings. 0: kept forever."
                ),
            },
        ),
        (_("If delivery is uncertain"), {"fields": ("on_uncertain", "resend_after")}),
        (None, {"fields": ("created_at",)}),
    )

    # A project may have users or groups that are not in its admin, which then cannot search them.
    # Its own admin modules may be imported later than this one.
    @property
    def autocomplete_fields(self) -> tuple[str, ...]:  # type: ignore[override]
        names = ("users", "groups", "staff_groups")
        return tuple(name for name in names if self._can_search(name))

    @property
    def raw_id_fields(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("owner",) if self._can_search("users") else ("owner", "users")

    def _can_search(self, name: str) -> bool:
        related = Account._meta.get_field(name).related_model
        assert isinstance(related, type)
        registered = self.admin_site._registry.get(related)
        return registered is not None and bool(registered.search_fields)

    def get_fieldsets(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """Return the groups of fields; those of a direct account with its MX sites."""
        found = list(super().get_fieldsets(request, obj))
        if obj is not None and obj.is_direct:
            found.insert(-1, (_("Mail servers of the recipients"), {"fields": ("mx_sites",)}))
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """Return what the user may not change: trust and the default need permissions."""
        fields = [*super().get_readonly_fields(request, obj)]
        if not request.user.has_perm(f"outbox.{TRUST_ACCOUNT}"):
            fields.append("is_trusted")
        if not request.user.has_perm("outbox.change_account"):  # an account can also be added
            fields.append("is_app_default")
        if not request.user.has_perm("outbox.change_oauthprovider"):
            # They decide which mailbox the site's own access opens, and which server gets it.
            fields.append("app_provider")
            if oauth.app_provider_of(obj) is not None:
                fields += SERVER_FIELDS
        if not sharing.may_share(request.user):
            fields += ["users", "groups"]
        if not sees_all_accounts(request.user):
            fields += ["staff_groups", "is_app_default", "route"]
        return fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may add accounts, which are of no group at first."""
        return sees_all_accounts(request.user) and super().has_add_permission(request)

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: Any) -> None:
        super().save_model(request, obj, form, change)
        action = AuditAction.ACCOUNT_CHANGED if change else AuditAction.ACCOUNT_ADDED
        audit.record(action, request=request, target=obj, fields=form.changed_data)
        changed = {*form.changed_data}
        provider = form.cleaned_data.get("app_provider", form.stored_provider)
        # The stored token is for another mailbox or server.
        connects = provider is not None and not changed.isdisjoint({"app_provider", *SERVER_FIELDS})
        has_new_login = connects or not changed.isdisjoint({"new_password", *SERVER_FIELDS})
        retried = partial(self.message_user, request, _("The connection is retried now."))
        # The account, its tokens and its mailbox are locked in this order, as by `outbox.api`. The
        # circuits, of the former login, are locked after the commit.
        if connects:
            oauth.connect_app(obj, provider, retried=retried)
        elif provider is None and form.stored_provider is not None:
            oauth.disconnect(obj)
        if has_new_login and not connects:
            fetch_with_new_login(obj)
            retry_after_commit(obj, retried)

    def delete_model(self, request: HttpRequest, obj: Account) -> None:
        remove_account(obj, request=request)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        for account in queryset.order_by("pk"):
            remove_account(account, request=request)

    def get_deleted_objects(
        self, objs: Sequence[Account] | QuerySet[Account], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Return the accounts with what else is deleted or held.

        Suppressions have a permission of their own, since without them messages are sent again.
        """
        accounts = list(objs)
        names, counts, perms_needed, protected = super().get_deleted_objects(accounts, request)
        effects = effects_of_removal(accounts)
        if effects.suppressions and not request.user.has_perm("outbox.delete_suppression"):
            perms_needed.add(str(Suppression._meta.verbose_name))
        if sentences := effects.in_sentences():
            heading = [] if len(accounts) == 1 else [gettext("All these accounts together")]
            names = [*names, *heading, sentences]
        return names, counts, perms_needed, protected

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        """Save, and invite the users that were added."""
        account = form.instance
        before = set(account.users.all())
        super().save_related(request, form, formsets, change)
        added = set(account.users.all()) - before
        assert request.user.is_authenticated  # as the admin requires
        sharing.invite(account, added, actor=request.user)

    @admin.display(description=_("default for apps"), boolean=True, ordering="is_app_default")
    def default_for_apps(self, account: Account) -> bool:
        """Return whether apps that name no account send with this one, below a short heading."""
        return account.is_app_default

    @admin.display(description=_("app-only access"))
    def app_provider(self, account: Account) -> str:
        """Return the provider of the account, for users who may not choose it."""
        provider = oauth.app_provider_of(account)
        return str(provider) if provider is not None else "-"

    @admin.display(description=_("DNS of the sender domain"))
    def sender_domain(self, account: Account) -> str:
        """Link to the page that shows what the DNS says about the domain."""
        if account._state.adding:
            return "–"
        try:
            address = reverse("outbox:account-domain", args=[account.pk])
        except NoReverseMatch:  # the project has no pages of the outbox
            return domain_of(account.from_address)
        return format_html('<a href="{}">{}</a>', address, domain_of(account.from_address))

    @admin.display(description=_("mail servers"))
    def mx_sites(self, account: Account) -> str:
        """Show the MX sites that messages went to, with their limits and circuits."""
        head = (_("Mail servers"), _("Circuit"), _("Limits"), _("Waiting"))
        rows = [
            format_html(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                site.name,
                site.circuit.label,
                format_html_join(
                    mark_safe("<br>"),
                    "{}: {} ({})",
                    ((one.label, one.value, one.words) for one in site.limits),
                ),
                site.blocked_by.sentence if site.blocked_by else "–",
            )
            for site in sites_of(account)
        ]
        if not rows:
            return str(_("Nothing was sent yet."))
        return format_html(
            "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>",
            format_html_join("", "<th>{}</th>", ((one,) for one in head)),
            format_html_join("", "{}", ((one,) for one in rows)),
        )

    @admin.display(description=_("stored password"))
    def password_state(self, account: Account) -> str:
        return str(_("set") if account.has_secret else _("not set"))
