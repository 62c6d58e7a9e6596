"""Templates, which staff may edit: those of the site, used by apps, and those of users."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from outbox.admin.filters import ConditionFilter
from outbox.admin.protected import ProtectedAdmin
from outbox.api.reasons import in_words
from outbox.mail.html import HtmlTooLongError, clean_html
from outbox.models import Template
from outbox.web.message_templates.forms import template_errors
from outbox.web.message_templates.preview import PARTS

if TYPE_CHECKING:
    TemplateModelForm = forms.ModelForm[Template]
else:
    TemplateModelForm = forms.ModelForm


class TemplateForm(TemplateModelForm):
    """The form of a template, which reports errors at the part that contains them."""

    class Meta:
        model = Template
        fields = ("name", "owner", *PARTS)
        widgets: ClassVar = {"subject": forms.TextInput(attrs={"class": "vLargeTextField"})}

    def is_multipart(self) -> bool:
        """Return True: the site accepts long texts in a multipart form only."""
        return True

    def clean_html(self) -> str:
        html: str = self.cleaned_data["html"]
        if self.cleaned_data.get("owner") is None:
            return html  # a template of the site may have tags where HTML allows none
        try:
            return clean_html(html)
        except HtmlTooLongError as error:
            raise forms.ValidationError(in_words(error)) from error

    def clean(self) -> dict[str, Any] | None:
        for part, why in template_errors(self.cleaned_data, owner=self.cleaned_data.get("owner")):
            self.add_error(part, why)
        return super().clean()


class OwnerFilter(ConditionFilter):
    """Templates of the site or of users."""

    title = _("owner")
    parameter_name = "of"
    conditions: ClassVar = {
        "site": (_("the site"), Q(owner=None)),
        "people": (_("users"), Q(owner__isnull=False)),
    }


@admin.register(Template)
class TemplateAdmin(ProtectedAdmin):
    """Templates by name."""

    form = TemplateForm
    list_display = ("name", "of", "subject", "updated_at")
    list_filter = (OwnerFilter,)
    list_select_related = ("owner",)
    search_fields = ("name", "subject")
    raw_id_fields = ("owner",)
    readonly_fields = ("created_at", "updated_at")
    fields = ("name", "owner", *PARTS, "created_at", "updated_at")

    @admin.display(description=_("owner"), ordering="owner")
    def of(self, template: Template) -> str:
        return str(template.owner or _("the site"))
