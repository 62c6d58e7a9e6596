"""htmx for a project that has the outbox among its apps and not django_htmx.

Static files are those of installed apps only. A project that adds django_htmx to its apps has htmx
served as it serves its other files, and never asks for this page.
"""

from importlib import resources

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

FILE = "htmx-2.min.js"
A_YEAR = 365 * 86_400  # the address names the version


@require_safe
@cache_control(public=True, max_age=A_YEAR, immutable=True)
def htmx(request: HttpRequest) -> HttpResponse:
    """Answer with the script."""
    folder = resources.files("django_htmx") / "static" / "django_htmx"
    return HttpResponse((folder / FILE).read_bytes(), content_type="text/javascript")
