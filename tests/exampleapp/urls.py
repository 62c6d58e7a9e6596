"""The shop's pages."""

from django.urls import path

from tests.exampleapp import views

urlpatterns = [
    path("orders/", views.place),
    path("orders-too-late/", views.place_too_late),
]
