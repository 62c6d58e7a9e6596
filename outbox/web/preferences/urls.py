"""URLs of the preferences."""

from django.urls import path

from outbox.web.preferences import shortcuts, views

urlpatterns = [
    path("", views.preferences, name="preferences"),
    path("shortcuts/", shortcuts.shortcuts, name="shortcuts"),
]
