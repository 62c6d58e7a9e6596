"""Users and groups in the admin: changes of credentials and rights ask for the password again."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox.web.reauthentication import recently_authenticated_posts
from signin import second_factor

if TYPE_CHECKING:
    UserModelAdmin = UserAdmin[Any]
else:
    UserModelAdmin = UserAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


def asks_for_password(view: str) -> Any:
    """Return a decorator of a ModelAdmin: posts to this view ask for the password."""
    return method_decorator(recently_authenticated_posts, name=view)


@admin.register(User)
@asks_for_password("changeform_view")
@asks_for_password("changelist_view")
@asks_for_password("delete_view")
@asks_for_password("user_change_password")
class ProtectedUserAdmin(UserModelAdmin):
    """Users. A stolen session of a superuser creates none and changes no password."""

    actions = ("remove_second_factor",)

    @admin.action(description=_("Remove the second factor"), permissions=["change"])
    def remove_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Help users who have lost their phone and their recovery codes."""
        users = list(queryset.exclude(authenticator=None))
        for user in users:
            second_factor.turn_off(user)
        text = ngettext(
            "The second factor of %(count)d user was removed.",
            "The second factor of %(count)d users was removed.",
            len(users),
        )
        self.message_user(request, text % {"count": len(users)}, messages.SUCCESS)


@admin.register(Group)
@asks_for_password("changeform_view")
@asks_for_password("changelist_view")
@asks_for_password("delete_view")
class ProtectedGroupAdmin(GroupAdmin):
    """Groups, whose permissions are rights of their members."""
