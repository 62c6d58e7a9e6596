"""The address of the dashboard, `/admin/outbox/operations/`, and its entry in the index."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRefresh

from outbox.admin.operations.dashboard import Dashboard
from outbox.admin.operations.pauses import drain_view, pause_view, probe_view, resume_view
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.models import Operations
from outbox.models.access import can_view_site


@admin.register(Operations)
class OperationsAdmin(ReadOnlyAdmin):
    """One page instead of a list and forms."""

    def get_urls(self) -> list[URLPattern]:
        """Return the address of the page, and of its part that refreshes itself."""
        return [
            path(
                "",
                self.admin_site.admin_view(self.page_view),
                name="outbox_operations_changelist",
            ),
            path(
                "pause/",
                self.admin_site.admin_view(pause_view),
                {"admin_site": self.admin_site},
                name="outbox_operations_pause",
            ),
            path(
                "resume/<int:pk>/",
                self.admin_site.admin_view(resume_view),
                {"admin_site": self.admin_site},
                name="outbox_operations_resume",
            ),
            path(
                "probe/<int:pk>/",
                self.admin_site.admin_view(probe_view),
                {"admin_site": self.admin_site},
                name="outbox_operations_probe",
            ),
            path(
                "drain/<int:pk>/",
                self.admin_site.admin_view(drain_view),
                {"admin_site": self.admin_site},
                name="outbox_operations_drain",
            ),
            # Without `admin_view`, which would show the sign-in page inside the present one.
            path("live/", never_cache(self.live_view), name="outbox_operations_live"),
        ]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return can_view_site(request.user)

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return can_view_site(request.user)

    def page_view(self, request: HttpRequest) -> HttpResponse:
        """Show the dashboard."""
        context = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
        }
        return self._render(request, "outbox/admin/operations.html", context)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Return the part that refreshes itself; users who have signed out load the whole page."""
        if not self.admin_site.has_permission(request):
            return HttpResponseClientRefresh()
        return self._render(request, "outbox/admin/operations/live.html", {})

    def _render(
        self, request: HttpRequest, template: str, context: dict[str, object]
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return TemplateResponse(request, template, context | {"page": Dashboard(request)})
