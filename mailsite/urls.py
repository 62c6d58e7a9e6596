"""The URLs of the site. mailsite.health responds to `/healthz`, `/readyz` and `/metrics` first."""

from django.contrib import admin
from django.urls import include, path

from signin.views import PasswordChange, SignIn

urlpatterns = [
    # The same limits and the same second factor at both addresses.
    path("admin/login/", SignIn.as_view()),
    path("admin/password_change/", PasswordChange.as_view()),
    path("admin/", admin.site.urls),
    path("accounts/", include("signin.urls")),
    path("", include("outbox.web.urls")),
]
