"""Templates, which staff may edit: the site's, which apps name, and those of people."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from outbox.admin.readonly import ModelAdmin
from outbox.api.phrases import translate
from outbox.mail.html import HtmlTooLongError, clean_html
from outbox.models import Template
from outbox.web.message_templates.forms import PARTS, mistakes

if TYPE_CHECKING:
    TemplateModelForm = forms.ModelForm[Template]
else:
    TemplateModelForm = forms.ModelForm


class TemplateForm(TemplateModelForm):
    """A mistake of its words is told at the part it stands in, and not by mail that fails."""

    class Meta:
        model = Template
        fields = ("name", "owner", *PARTS)
        widgets: ClassVar = {"subject": forms.TextInput(attrs={"class": "vLargeTextField"})}

    def clean_html(self) -> str:
        html: str = self.cleaned_data["html"]
        if self.cleaned_data.get("owner") is None:
            return html  # an app's own: its tags may stand where HTML has no place for them
        try:
            return clean_html(html)
        except HtmlTooLongError as error:
            raise forms.ValidationError(translate(str(error))) from error

    def clean(self) -> dict[str, Any] | None:
        for part, why in mistakes(self.cleaned_data, owner=self.cleaned_data.get("owner")):
            self.add_error(part, why)
        return super().clean()


class OwnerFilter(admin.SimpleListFilter):
    """Whose: the site's or a person's."""

    title = _("owner")
    parameter_name = "of"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("site", _("the site")), ("people", _("people"))]

    def queryset(self, request: Any, queryset: Any) -> Any:
        if self.value() is None:
            return queryset
        return queryset.filter(owner__isnull=self.value() == "site")


@admin.register(Template)
class TemplateAdmin(ModelAdmin):
    """Wording kept for many mails."""

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
