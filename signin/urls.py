"""URLs of the sign-in. The names without a namespace are those of django.contrib.auth."""

from django.contrib.auth import views as auth_views
from django.urls import path

from signin import security_views, views

urlpatterns = [
    path("login/", views.SignIn.as_view(), name="login"),
    path("login/code/", views.SecondFactor.as_view(), name="second-factor"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("password_change/", views.PasswordChange.as_view(), name="password_change"),
    path(
        "password_change/done/",
        auth_views.PasswordChangeDoneView.as_view(),
        name="password_change_done",
    ),
    path("password_reset/", views.PasswordReset.as_view(), name="password_reset"),
    path(
        "password_reset/done/",
        auth_views.PasswordResetDoneView.as_view(),
        name="password_reset_done",
    ),
    path(
        "reset/<uidb64>/<token>/",
        auth_views.PasswordResetConfirmView.as_view(),
        name="password_reset_confirm",
    ),
    path(
        "reset/done/",
        auth_views.PasswordResetCompleteView.as_view(),
        name="password_reset_complete",
    ),
    path("security/", security_views.security, name="security"),
    path("security/sessions/end/", security_views.end_sessions, name="end-sessions"),
    path("security/second-factor/", security_views.second_factor_page, name="second-factor-setup"),
    path("security/second-factor/off/", security_views.turn_off, name="second-factor-off"),
    path("security/recovery-codes/", security_views.recovery_codes, name="recovery-codes"),
]
