from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.tenants.authentication import Principal
from apps.tenants.models import Role

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports the permissions itself

# Analysts read. Creators write content and messages. Managers and owners run campaigns and accounts.
CREATORS = frozenset({Role.OWNER, Role.MANAGER, Role.CREATOR})
MANAGERS = frozenset({Role.OWNER, Role.MANAGER})


class IsMember(BasePermission):
    """Every role reads; what writes needs a role of the view's `write_roles`."""

    message = "Your role doesn't allow this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.user, Principal):
            return False
        return request.method in SAFE_METHODS or request.user.role in getattr(view, "write_roles", MANAGERS)
