"""The shop's pages, Django's own, and the outbox."""

from django.contrib import admin
from django.urls import include, path

from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    path("sign-up/", views.sign_up),
    path("report/", views.report),
    path("mail/", include("outbox.web.urls")),
]
