"""Addresses of the message page and its actions."""

from django.urls import path

from outbox.api.message_actions import RECIPIENT_ACTIONS
from outbox.web.messages import actions, preview, reports, scheduled, suppressing, views

urlpatterns = [
    path("messages/<int:pk>/", views.message, name="message"),
    path("messages/<int:pk>/live/", views.live, name="live"),
    path("messages/<int:pk>/content/<slug:tab>/", views.content, name="content"),
    path("messages/<int:pk>/preview/<str:permit>/", preview.preview, name="preview"),
    path("messages/<int:pk>/reply/", views.reply_to_message, name="reply"),
    path("messages/<int:pk>/send-now/", scheduled.send_now, name="send-now"),
    path("messages/<int:pk>/time/", scheduled.change_time, name="change-time"),
    path("messages/<int:pk>/edit/", scheduled.edit, name="edit"),
    path("messages/<int:pk>/suppress/<int:recipient>/", suppressing.suppress, name="suppress"),
    path("messages/<int:pk>/reports/<int:report>/", reports.correct, name="correct-report"),
    *(
        path(f"messages/<int:pk>/{name}/", actions.perform, {"name": name}, name=name)
        for name in RECIPIENT_ACTIONS
    ),
]
