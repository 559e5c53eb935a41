from dataclasses import dataclass
from uuid import UUID

import structlog
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.tenants.keys import find_api_key
from apps.tenants.models import ApiKey, Role, Tenant


@dataclass(frozen=True)
class Principal:
    """Who calls: a tenant, in a role, by a key. What DRF calls the user."""

    tenant: Tenant
    role: Role
    key: ApiKey
    # The person who is signed in; a key is nobody's.
    user_id: UUID | None = None
    is_authenticated: bool = True

    def __str__(self) -> str:
        return str(self.key)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <API key>`."""

    def authenticate(self, request: Request) -> tuple[Principal, ApiKey] | None:
        words = get_authorization_header(request).decode("latin-1").split()
        if not words or words[0].lower() != "bearer":
            return None
        if len(words) != 2:
            raise AuthenticationFailed("Send the key as: Authorization: Bearer <API key>.")
        key = find_api_key(words[1], now=timezone.now())
        if key is None:
            raise AuthenticationFailed("This API key is unknown, expired or revoked.")
        structlog.contextvars.bind_contextvars(tenant_id=str(key.tenant_id), api_key=key.prefix)
        return Principal(tenant=key.tenant, role=Role(key.role), key=key), key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "apps.tenants.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key of the tenant."}
