"""Save a form whose values have to be unique, while another request saves the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.db import IntegrityError, router, transaction


def save_unique(form: forms.ModelForm[Any], save: Callable[[], object]) -> bool:
    """Save a valid form. Return False if it cannot be saved; then it has an error.

    Two requests may pass the checks of the form at the same time. A constraint of the database
    rejects the second one. Its form is checked again, now that the row of the first one is visible.
    """
    using = router.db_for_write(type(form.instance))
    try:
        with transaction.atomic(using=using):
            save()
    except IntegrityError:
        form.full_clean()
        if form.errors:
            return False
        with transaction.atomic(using=using):
            save()
    return True
