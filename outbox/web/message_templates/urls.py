"""Where templates of mails are kept."""

from django.urls import path

from outbox.web.message_templates import views

urlpatterns = [
    path("", views.templates, name="templates"),
    path("add/", views.add, name="template-add"),
    path("try/", views.trial, name="template-try"),
    path("<int:pk>/", views.template, name="template"),
    path("<int:pk>/remove/", views.remove, name="template-remove"),
]
