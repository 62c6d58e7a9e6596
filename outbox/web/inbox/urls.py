"""URLs of received messages."""

from django.urls import path

from outbox.web.inbox import actions, reading, reminders, replying, views

urlpatterns = [
    path("inbox/", views.folder, name="inbox"),
    path("inbox/<slug:folder>/", views.folder, name="received-folder"),
    path("inbox/<slug:folder>/rows/", views.rows, name="received-rows"),
    path("received/actions/<slug:name>/", actions.change, name="received-bulk"),
    path("received/<int:pk>/", reading.read, name="received"),
    path("received/<int:pk>/content/<slug:tab>/", reading.content, name="received-content"),
    path("received/<int:pk>/pictures/", reading.load_pictures, name="received-pictures"),
    path("received/<int:pk>/preview/<str:permit>/", reading.preview, name="received-preview"),
    path(
        "received/<int:pk>/preview/<str:permit>/pictures/",
        reading.preview_with_pictures,
        name="received-pictures-preview",
    ),
    path("received/<int:pk>/source/", reading.source, name="received-source"),
    path("received/<int:pk>/parts/<str:path>/", reading.part, name="received-part"),
    path("messages/<int:pk>/remind/", reminders.remind, name="remind"),
    path("messages/<int:pk>/remind/forget/", reminders.forget, name="forget-reminder"),
    path("received/<int:pk>/reply/", replying.reply, name="received-reply"),
]
