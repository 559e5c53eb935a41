from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.common.admin.base import Admin
from apps.tenants.models import Membership, User

admin.site.unregister(Group)


class NewUserForm(UserCreationForm):  # type: ignore[misc]  # Unfold is untyped
    class Meta:
        model = User
        fields = ["email", "name"]


class MembershipInline(TabularInline):  # type: ignore[misc]  # Unfold is untyped
    model = Membership
    fields = ["tenant", "role"]
    autocomplete_fields = ["tenant"]
    extra = 0
    hide_title = True


@admin.register(User)
class UserAdmin(BaseUserAdmin, Admin):  # type: ignore[type-arg,misc]  # Unfold is untyped
    empty_hint = "People are members of one or more tenants; staff signs in to this admin by e-mail."
    form = UserChangeForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "name", "is_active", "is_staff", "last_login", "created_at"]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    search_fields = ["email", "name"]
    search_help_text = "E-mail, name, or 8+ digits of an id"
    ordering = ["email"]
    filter_horizontal = ["groups", "user_permissions"]
    readonly_fields = ["id", "last_login", "created_at"]
    inlines = [MembershipInline]
    add_fieldsets = [(None, {"fields": ["email", "name", "usable_password", "password1", "password2"]})]
    fieldsets = [
        (None, {"fields": ["id", "email", "name", "password", ("last_login", "created_at")]}),
        (
            "Use of this admin",
            {
                "fields": [("is_active", "is_staff", "is_superuser"), "groups", "user_permissions"],
                "description": "Take “active” away instead of deleting a person: their traces stay readable.",
            },
        ),
    ]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only a superuser may change one, or else staff could raise themselves."""
        allowed = bool(super().has_change_permission(request, obj))
        return allowed and not (obj and obj.is_superuser and not request.user.is_superuser)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        rights = (
            () if request.user.is_superuser else ("is_staff", "is_superuser", "groups", "user_permissions")
        )
        return [*super().get_readonly_fields(request, obj), *rights]


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, Admin):  # type: ignore[misc]  # Unfold is untyped
    deletable = True
    empty_hint = "A group gives its staff the same rights in this admin. Superusers need none."
    search_fields = ["name"]
    search_ids = []
    list_display = ["name"]
