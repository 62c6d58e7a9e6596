"""URLs of the accounts. The site's sign-in pages share the prefix; no name is in both."""

from django.urls import path

from outbox.web.accounts import (
    connecting,
    connection_tests,
    mailboxes,
    sender_domain,
    sharing,
    suppressions,
    views,
)

urlpatterns = [
    path("", views.accounts, name="accounts"),
    path("add/", views.add, name="account-add"),
    path("add/settings/", views.find_settings, name="account-settings"),
    path("add/test/", connection_tests.check_connection, name="account-add-test"),
    path("test/<str:token>/", connection_tests.result, name="account-test-result"),
    path("connect/", connecting.start, name="oauth-start"),
    path("connect/return/", connecting.returned, name="oauth-return"),
    path("<int:pk>/", views.account, name="account"),
    path("<int:pk>/disconnect/", connecting.disconnect, name="oauth-disconnect"),
    path("<int:pk>/test/", connection_tests.check_connection, name="account-test"),
    path("<int:pk>/test-saved/", connection_tests.test_saved, name="account-test-saved"),
    path("<int:pk>/retry/", views.retry, name="account-retry"),
    path("<int:pk>/accept/", sharing.accept, name="account-accept"),
    path("<int:pk>/decline/", sharing.decline, name="account-decline"),
    path("<int:pk>/leave/", sharing.leave, name="account-leave"),
    path("<int:pk>/suppressed/", suppressions.suppression_list, name="account-suppressions"),
    path(
        "<int:pk>/suppressed/<int:entry>/remove/",
        suppressions.remove,
        name="account-suppression-remove",
    ),
    path("<int:pk>/mailbox/", mailboxes.mailbox, name="account-mailbox"),
    path("<int:pk>/mailbox/test/", mailboxes.test_mailbox, name="account-mailbox-test"),
    path("<int:pk>/mailbox/fetch/", mailboxes.fetch, name="account-mailbox-fetch"),
    path("<int:pk>/mailbox/remove/", mailboxes.remove, name="account-mailbox-remove"),
    path("<int:pk>/domain/", sender_domain.sender_domain, name="account-domain"),
    path("<int:pk>/domain/check/", sender_domain.check_now, name="account-domain-check"),
    path("<int:pk>/delete/", views.delete, name="account-delete"),
]
