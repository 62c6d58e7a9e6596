"""The htmx script, for a project that does not install django_htmx as an app.

Django serves static files of installed apps only. A project that installs django_htmx serves the
script as a static file and never requests this page.
"""

from importlib import resources

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

FILE = "htmx-2.min.js"
A_YEAR = 365 * 86_400  # the address contains the version


@require_safe
@cache_control(public=True, max_age=A_YEAR, immutable=True)
def htmx(request: HttpRequest) -> HttpResponse:
    """Return the script."""
    folder = resources.files("django_htmx") / "static" / "django_htmx"
    return HttpResponse((folder / FILE).read_bytes(), content_type="text/javascript")
