"""Addresses of the pages, in the namespace `outbox`. Each package has its own urls."""

from django.urls import include, path

from outbox.web import sns, unsubscribing
from outbox.web.htmx import htmx
from outbox.web.reauthentication import reauthenticate

app_name = "outbox"

urlpatterns = [
    path("htmx.js", htmx, name="htmx"),
    path("reauthenticate/", reauthenticate, name="reauthenticate"),
    path("notifications/sns/", sns.receive, name="sns"),
    path("unsubscribe/<str:token>/", unsubscribing.unsubscribe, name="unsubscribe"),
    path("compose/", include("outbox.web.compose.urls")),
    path("accounts/", include("outbox.web.accounts.urls")),
    path("contacts/", include("outbox.web.contacts.urls")),
    path("preferences/", include("outbox.web.preferences.urls")),
    path("search/", include("outbox.web.search.urls")),
    path("templates/", include("outbox.web.message_templates.urls")),
    path("", include("outbox.web.downloads.urls")),
    path("", include("outbox.web.folders.urls")),
    path("", include("outbox.web.inbox.urls")),
    path("", include("outbox.web.messages.urls")),
]
