"""URLs of the address book."""

from django.urls import path

from outbox.web.contacts import views

urlpatterns = [
    path("", views.contacts, name="contacts"),
    path("suggest/", views.suggest, name="suggest"),
    path("add/", views.add, name="contact-add"),
    path("<int:pk>/", views.contact, name="contact"),
    path("<int:pk>/delete/", views.delete, name="contact-delete"),
]
