"""Where mail is searched."""

from django.urls import path

from outbox.web.search import views

urlpatterns = [
    path("", views.search, name="search"),
    path("rows/", views.rows, name="search-rows"),
]
