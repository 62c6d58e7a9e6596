"""URLs of the message templates."""

from django.urls import path

from outbox.web.message_templates import views

urlpatterns = [
    path("", views.templates, name="templates"),
    path("add/", views.add, name="template-add"),
    path("preview/", views.preview, name="template-preview"),
    path("<int:pk>/", views.template, name="template"),
    path("<int:pk>/delete/", views.delete, name="template-delete"),
]
