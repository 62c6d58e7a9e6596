"""Where mails are written."""

from django.urls import path

from outbox.web.compose import views

urlpatterns = [
    path("", views.compose, name="compose"),
    path("<int:pk>/", views.draft, name="draft"),
    path("<int:pk>/discard/", views.discard, name="discard"),
]
