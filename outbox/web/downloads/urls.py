"""URLs of downloads: messages, their parts, transcripts and records."""

from django.urls import path

from outbox.web.downloads import views

urlpatterns = [
    path("messages/<int:pk>/source/", views.source, name="source"),
    path("messages/<int:pk>/transcript/", views.transcript, name="transcript"),
    path("messages/<int:pk>/record/", views.record, name="record"),
    path("messages/<int:pk>/parts/<str:path>/", views.part, name="part"),
    path("messages/<int:pk>/attachments/<int:attachment>/", views.attachment, name="attachment"),
]
