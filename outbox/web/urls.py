"""Where the pages are. Each noun keeps its own urls; all share the namespace `outbox`."""

from django.urls import include, path

app_name = "outbox"

urlpatterns = [
    path("compose/", include("outbox.web.compose.urls")),
    path("accounts/", include("outbox.web.accounts.urls")),
    path("", include("outbox.web.attachments.urls")),
    path("", include("outbox.web.messages.urls")),
]
