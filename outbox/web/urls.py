"""Where the pages are. Each noun keeps its own urls; all share the namespace `outbox`."""

from django.urls import include, path

from outbox.web.htmx import htmx

app_name = "outbox"

urlpatterns = [
    path("htmx.js", htmx, name="htmx"),
    path("compose/", include("outbox.web.compose.urls")),
    path("accounts/", include("outbox.web.accounts.urls")),
    path("contacts/", include("outbox.web.contacts.urls")),
    path("preferences/", include("outbox.web.preferences.urls")),
    path("search/", include("outbox.web.search.urls")),
    path("templates/", include("outbox.web.message_templates.urls")),
    path("", include("outbox.web.attachments.urls")),
    path("", include("outbox.web.messages.urls")),
]
