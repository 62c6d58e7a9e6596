"""Addresses of the search."""

from django.urls import path

from outbox.web.search import views

urlpatterns = [
    path("", views.search, name="search"),
    path("rows/", views.rows, name="search-rows"),
]
