"""Forms whose attempts are limited."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class SignInForm(AuthenticationForm):
    """User name and password; it says how long a limited attempt has to wait."""

    def get_invalid_login_error(self) -> ValidationError:
        if limited := getattr(self.request, "sign_in_error", ""):
            return ValidationError(limited, code="limited")
        return super().get_invalid_login_error()


class CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=40,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}
        ),
    )


class PasswordForm(PasswordChangeForm):
    """The change of a password, which limits attempts at the old one."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        self.request = request
        super().__init__(*args, **kwargs)

    def clean_old_password(self) -> str:
        old: str = self.cleaned_data["old_password"]
        name = self.user.get_username()
        if authenticate(self.request, username=name, password=old) is None:
            wrong = self.error_messages["password_incorrect"]
            limited = getattr(self.request, "sign_in_error", "")
            raise ValidationError(limited or wrong, code="password_incorrect")
        return old
