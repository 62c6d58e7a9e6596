"""Where one says how one wants to read and write."""

from django.urls import path

from outbox.web.preferences import views

urlpatterns = [path("", views.preferences, name="preferences")]
