"""Where accounts are kept. The site's sign-in pages share the prefix; no name is in both."""

from django.urls import path

from outbox.web.accounts import views

urlpatterns = [
    path("", views.accounts, name="accounts"),
    path("add/", views.add, name="account-add"),
    path("add/test/", views.probe, name="account-add-test"),
    path("<int:pk>/", views.account, name="account"),
    path("<int:pk>/test/", views.probe, name="account-test"),
    path("<int:pk>/test-saved/", views.test_saved, name="account-test-saved"),
    path("<int:pk>/retry/", views.try_now, name="account-retry"),
    path("<int:pk>/remove/", views.remove, name="account-remove"),
]
