"""Where mails are written."""

from django.urls import path

from outbox.web.compose import answering, files, inserting, saving, undo, views

urlpatterns = [
    path("", views.compose, name="compose"),
    path("save/", saving.save, name="compose-save"),
    path("template/", inserting.insert_template, name="compose-template"),
    path("originals/<int:pk>/picture/", answering.original_picture, name="original-picture"),
    path("<int:pk>/", views.draft, name="draft"),
    path("<int:pk>/save/", saving.save, name="draft-save"),
    path("<int:pk>/discard/", views.discard, name="discard"),
    path("<int:pk>/files/", files.files, name="draft-files"),
    path("<int:pk>/pictures/<int:picture>/", files.picture, name="picture"),
    path("<int:pk>/undo/", undo.undo, name="undo"),
]
