"""Where every page of the site is found. `/healthz` is answered before this, by mailsite.health."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    path("", include("outbox.web.urls")),
]
