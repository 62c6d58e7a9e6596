"""Addresses of the lists of messages."""

from django.urls import path

from outbox.web.folders import bulk, failed_by_reply, operations, unseen_failures, views

urlpatterns = [
    path("", views.folder, name="list"),
    path("bulk/<slug:name>/", bulk.bulk, name="bulk"),
    path("bulk/operations/<int:pk>/", operations.operation, name="operation"),
    path("bulk/operations/<int:pk>/live/", operations.operation_live, name="operation-live"),
    path("bulk/operations/<int:pk>/cancel/", operations.cancel_operation, name="operation-cancel"),
    path("folders/apps/", views.apps, name="apps"),
    path("folders/apps/rows/", views.apps_rows, name="apps-rows"),
    path("folders/failed/seen/", unseen_failures.dismiss, name="dismiss-failures"),
    path("folders/failed/by-reply/", failed_by_reply.failed_by_reply, name="failed-by-reply"),
    path("folders/<slug:folder>/", views.folder, name="folder"),
    path("folders/<slug:folder>/rows/", views.folder_rows, name="rows"),
]
