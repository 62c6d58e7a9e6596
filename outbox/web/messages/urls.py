"""Where mails are read and decided about."""

from django.urls import path

from outbox.web.messages import (
    acts,
    answers,
    apps,
    bulk,
    failures,
    preview,
    replies,
    scheduling,
    views,
)

urlpatterns = [
    path("", views.folder, name="list"),
    path("messages/<int:pk>/", views.message, name="message"),
    path("messages/<int:pk>/live/", views.live, name="live"),
    path("messages/<int:pk>/content/<slug:tab>/", views.content, name="content"),
    path("messages/<int:pk>/preview/<str:permit>/", preview.preview, name="preview"),
    path("messages/<int:pk>/answer/", answers.answer, name="answer"),
    path("messages/<int:pk>/cancel/", acts.cancel, name="cancel"),
    path("messages/<int:pk>/retry/", acts.retry, name="retry"),
    path("messages/<int:pk>/settle/", acts.settle, name="settle"),
    path("messages/<int:pk>/hold/", acts.hold, name="hold"),
    path("messages/<int:pk>/release/", acts.release, name="release"),
    path("messages/<int:pk>/send-now/", scheduling.send_now, name="send-now"),
    path("messages/<int:pk>/time/", scheduling.change_time, name="change-time"),
    path("messages/<int:pk>/edit/", scheduling.edit, name="edit-scheduled"),
    path("bulk/<slug:act>/", bulk.bulk, name="bulk"),
    path("folders/apps/", apps.apps, name="apps"),
    path("folders/apps/rows/", apps.rows, name="apps-rows"),
    path("folders/failed/seen/", failures.dismiss, name="failures-seen"),
    path("folders/failed/replies/", replies.replies, name="replies"),
    path("folders/<slug:folder>/", views.folder, name="folder"),
    path("folders/<slug:folder>/rows/", views.rows, name="rows"),
]
