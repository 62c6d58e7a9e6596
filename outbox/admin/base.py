"""The base classes of the admin: those of django-unfold where it is installed, else Django's."""

from typing import TYPE_CHECKING, Any

from django.apps import apps

USES_UNFOLD = apps.is_installed("unfold")

if TYPE_CHECKING:
    from django.contrib import admin
    from django.contrib.admin.views.main import ChangeList

    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
elif USES_UNFOLD:
    from unfold.admin import ModelAdmin, TabularInline
    from unfold.views import ChangeList
else:
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.contrib.admin.views.main import ChangeList

__all__ = ["USES_UNFOLD", "ChangeList", "ModelAdmin", "TabularInline"]
