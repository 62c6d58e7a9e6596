"""Where one says how one wants to read and write."""

from django.urls import path

from outbox.web.preferences import shortcuts, views

urlpatterns = [
    path("", views.preferences, name="preferences"),
    path("shortcuts/", shortcuts.shortcuts, name="shortcuts"),
]
