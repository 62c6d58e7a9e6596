"""URLs of the composer."""

from django.urls import path

from outbox.web.compose import attachments, autosave, insert_template, pictures, views

urlpatterns = [
    path("", views.compose, name="compose"),
    path("save/", autosave.save, name="compose-save"),
    path("template/", insert_template.insert_template, name="compose-template"),
    path("originals/<int:pk>/picture/", pictures.original_picture, name="original-picture"),
    path("received/<int:pk>/picture/", pictures.received_picture, name="received-picture"),
    path("<int:pk>/", views.draft, name="draft"),
    path("<int:pk>/save/", autosave.save, name="draft-save"),
    path("<int:pk>/discard/", views.discard, name="discard"),
    path("<int:pk>/attachments/", attachments.attachments, name="draft-attachments"),
    path("<int:pk>/pictures/<int:picture>/", pictures.picture, name="picture"),
    path("<int:pk>/undo/", views.undo, name="undo"),
]
