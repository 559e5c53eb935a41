from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.tenants.authentication import Principal
from apps.tenants.models import Role

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports the permissions itself

# Analysts read. Creators write content and messages. Managers and owners run campaigns and accounts.
CREATORS = frozenset({Role.OWNER, Role.MANAGER, Role.CREATOR})
OWNERS = frozenset({Role.OWNER})
MANAGERS = frozenset({Role.OWNER, Role.MANAGER})


class IsMember(BasePermission):
    """Every role reads, unless the view has `read_roles`; what writes needs a role of its `write_roles`."""

    message = "Your role doesn't allow this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.user, Principal):
            return False
        if request.method in SAFE_METHODS:
            return request.user.role in getattr(view, "read_roles", Role)
        return request.user.role in getattr(view, "write_roles", MANAGERS)
