"""The providers that this site is registered with by OAuth 2. A stored secret is never shown."""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from outbox.admin.protected import ProtectedAdmin
from outbox.api import audit, oauth
from outbox.models import AuditAction, OAuthAccess, OAuthKind, OAuthProvider
from outbox.oauth import Signer
from outbox.oauth.assertions import KeyInvalidError
from outbox.oauth.discovery import DiscoveryError, discover
from outbox.oauth.providers import GOOGLE_SCOPE, MICROSOFT_APP_SCOPE, MICROSOFT_SEND, OFFLINE
from outbox.web.accounts.connecting import redirect_uri
from outbox.web.accounts.hosts import clean_host
from outbox.web.accounts.provider_rules import discovery_client, is_url_allowed

if TYPE_CHECKING:
    ProviderModelForm = forms.ModelForm[OAuthProvider]
else:
    ProviderModelForm = forms.ModelForm

_uri: ContextVar[str] = ContextVar("outbox_redirect_uri", default="")
STEPS = {
    OAuthKind.GOOGLE: (
        _("In the Google Cloud console, create a project and open “Google Auth Platform”."),
        _("Choose the audience “Internal” for a Workspace organization. Otherwise add test users."),
        _("Under “Data access”, add this scope: %(scope)s"),
        _("Under “Clients”, create a client of the type “Web application”."),
        _("Add this authorized redirect URI: %(redirect)s"),
        _("Enter the client id and the client secret here, and save."),
    ),
    OAuthKind.MICROSOFT: (
        _("In the Microsoft Entra admin center, open “App registrations” and add one."),
        _("Add a redirect URI of the platform “Web”: %(redirect)s"),
        _("Under “API permissions”, add the delegated permission SMTP.Send. Its scopes: %(scope)s"),
        _("Under “Certificates & secrets”, create a client secret and copy its value at once."),
        _("Enter the application (client) id, the secret's value and the tenant here, and save."),
        _("In the Microsoft 365 admin center, turn on “Authenticated SMTP” for each mailbox."),
    ),
    OAuthKind.CUSTOM: (
        _("Register this site as a confidential client with the authorization code flow."),
        _("Register this redirect URI: %(redirect)s"),
        _("Enter the issuer below, or the two URLs, and the scopes for sending email."),
    ),
}
APP_STEPS = {
    OAuthKind.GOOGLE: (
        _("Create a service account and a key in JSON, and paste the file here."),
        _("In the Google Admin console, allow domain-wide delegation of its client id."),
        _("The scope of the delegation: %(scope)s"),
        _("Choose this provider for an account in the admin. Its username is the mailbox."),
    ),
    OAuthKind.MICROSOFT: (
        _("Register an app, and add the application permission SMTP.SendAsApp. Grant consent."),
        _("Enter a client secret, or paste a certificate with its private key (PEM)."),
        _("In Exchange Online PowerShell, run New-ServicePrincipal with the object id of the "
          "enterprise application, and Add-MailboxPermission for each mailbox."),
        _("The scope of the requests: %(scope)s"),
        _("Choose this provider for an account in the admin. Its username is the mailbox."),
    ),
    OAuthKind.CUSTOM: (
        _("Register this site as a confidential client with the client credentials flow."),
        _("Choose this provider for an account in the admin. Its username is the mailbox."),
    ),
}  # fmt: skip
_SCOPES = {
    (OAuthKind.GOOGLE, OAuthAccess.USER): GOOGLE_SCOPE,
    (OAuthKind.GOOGLE, OAuthAccess.APP): GOOGLE_SCOPE,
    (OAuthKind.MICROSOFT, OAuthAccess.USER): f"{MICROSOFT_SEND} {OFFLINE}",
    (OAuthKind.MICROSOFT, OAuthAccess.APP): MICROSOFT_APP_SCOPE,
}


class SecretTextarea(forms.Textarea):
    """A text area that never shows what was entered, also if another field has an error."""

    def format_value(self, value: Any) -> None:
        """Return nothing, as a password field does."""


class ProviderForm(ProviderModelForm):
    """The form of a provider. An empty secret field keeps the stored secret."""

    new_secret = forms.CharField(
        label=_("Client secret"),
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text=_("Stored encrypted and never shown. Leave it empty to keep the stored one."),
    )
    new_key = forms.CharField(
        label=_("Certificate or service account"),
        required=False,
        widget=SecretTextarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_(
            "For app-only access: a certificate with its private key (PEM), or the JSON file of a "
            "service account. Stored encrypted and never shown."
        ),
    )
    issuer = forms.CharField(
        label=_("Issuer"),
        required=False,
        help_text=_("For another provider: its issuer URL, from which the URLs are looked up."),
    )

    class Meta:
        model = OAuthProvider
        exclude: ClassVar = ("secret_encrypted", "key_encrypted")

    @sensitive_variables()
    def clean_new_key(self) -> str:
        text: str = self.cleaned_data["new_key"]
        if text:
            try:
                Signer.load(text)
            except KeyInvalidError as error:
                raise ValidationError(
                    _("Paste a PEM file with a certificate and its RSA key, or a JSON file.")
                ) from error
        return text

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("kind") == OAuthKind.CUSTOM:
            self._clean_custom(cleaned)
        is_google_app = (cleaned.get("kind"), cleaned.get("access")) == ("google", "app")
        if not cleaned.get("client_id") and not is_google_app:
            self.add_error("client_id", _("Enter the client id."))
        return cleaned

    def _clean_custom(self, cleaned: dict[str, Any]) -> None:
        if issuer := cleaned.get("issuer"):
            try:
                found = discover(issuer, discovery_client())
            except DiscoveryError:
                self.add_error("issuer", _("No endpoints were found at this issuer."))
                return
            cleaned["authorization_url"] = found.authorization_url
            cleaned["token_url"] = found.token_url
        is_app = cleaned.get("access") == OAuthAccess.APP  # no user consents in the browser
        for name in ("authorization_url", "token_url"):
            is_needed = name == "token_url" or not is_app or cleaned.get(name)
            if is_needed and not is_url_allowed(cleaned.get(name, "")):
                self.add_error(name, _("Enter a URL that begins with “https://”."))
        if cleaned.get("host") and "host" not in self.errors:
            self._clean_host(cleaned)
        for name in ("host", "scopes") if is_app else ("host", "domains", "scopes"):
            if not cleaned.get(name) and name not in self.errors:
                self.add_error(name, _("This field is required for another provider."))

    def _clean_host(self, cleaned: dict[str, Any]) -> None:
        try:
            cleaned["host"] = clean_host(
                cleaned["host"], allow_private=discovery_client().allow_http
            )
        except ValidationError as error:
            self.add_error("host", error)

    @sensitive_variables()
    def save(self, commit: bool = True) -> OAuthProvider:  # noqa: FBT001, FBT002  # Django's signature
        if self.cleaned_data["new_secret"]:
            self.instance.secret = self.cleaned_data["new_secret"]
        if self.cleaned_data["new_key"]:
            self.instance.key = self.cleaned_data["new_key"]
        return super().save(commit)


@admin.register(OAuthProvider)
class OAuthProviderAdmin(ProtectedAdmin):
    """Providers of mailboxes that users connect accounts to."""

    form = ProviderForm
    list_display = ("name", "kind", "access", "is_active")
    readonly_fields = ("redirect", "steps", "secret_state")
    fieldsets = (
        (None, {"fields": ("kind", "name", "access", "is_active")}),
        (_("Registration"), {"fields": ("redirect", "steps")}),
        (
            _("Client"),
            {"fields": ("client_id", "secret_state", "new_secret", "new_key", "tenant")},
        ),
        (
            _("Another provider"),
            {
                "fields": (
                    "issuer",
                    "authorization_url",
                    "token_url",
                    "scopes",
                    "domains",
                    "host",
                    "port",
                    "security",
                )
            },
        ),
    )

    @method_decorator(sensitive_post_parameters())
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show and save the form. The redirect URI depends on the host of the request."""
        _uri.set(redirect_uri(request))
        return super().changeform_view(request, *args, **kwargs)

    @admin.display(description=_("redirect URI"))
    def redirect(self, provider: OAuthProvider) -> SafeString:
        """Return the address to register at the provider."""
        return format_html("<code>{}</code>", _uri.get())

    @admin.display(description=_("steps"))
    def steps(self, provider: OAuthProvider) -> SafeString:
        """Return what to do at the provider."""
        return _steps(provider, _uri.get())

    def save_model(self, request: HttpRequest, obj: OAuthProvider, form: Any, change: Any) -> None:
        super().save_model(request, obj, form, change)
        oauth.retry_rejected(obj)
        fields = [name.removeprefix("new_") for name in form.changed_data]
        audit.record(AuditAction.PROVIDER_CHANGED, request=request, target=obj, fields=fields)

    def delete_model(self, request: HttpRequest, obj: OAuthProvider) -> None:
        audit.record(AuditAction.PROVIDER_CHANGED, request=request, target=obj, removed=True)
        super().delete_model(request, obj)

    @admin.display(description=_("stored secrets"))
    def secret_state(self, provider: OAuthProvider) -> str:
        """Return which secrets are stored."""
        names = [
            str(name)
            for name, stored in (
                (_("client secret"), provider.secret_encrypted),
                (_("certificate or service account"), provider.key_encrypted),
            )
            if stored
        ]
        return ", ".join(names) or str(_("none"))


def _steps(provider: OAuthProvider, uri: str) -> SafeString:
    """Return what to do at the provider; before the first save, for each of them."""
    kinds = [OAuthKind(provider.kind)] if provider.kind else list(OAuthKind)
    access = OAuthAccess(provider.access)
    table = STEPS if access == OAuthAccess.USER else APP_STEPS
    return format_html_join(
        "",
        "<h3>{}</h3><ol>{}</ol>",
        (
            (
                kind.label,
                format_html_join(
                    "",
                    "<li>{}</li>",
                    (
                        (str(step) % {"scope": _SCOPES.get((kind, access), ""), "redirect": uri},)
                        for step in table[kind]
                    ),
                ),
            )
            for kind in kinds
        ),
    )
