"""The base of every view that acts for a tenant."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_filters import FilterSet
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from apps.common.api import idempotency, parameters
from apps.common.api.errors import LengthRequiredError
from apps.common.api.serializers import StrictSerializer
from apps.common.connections import give_back_connection
from apps.tenants.authentication import Principal
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.permissions import MANAGERS


class TenantView(GenericAPIView[Any]):
    """Runs its handler in one transaction of the caller's tenant, after authentication and permission.

    Nothing in such a handler waits on the network. An error rolls the transaction back. A handler without
    `begins_transaction` opens its own where it needs one.
    """

    write_roles = MANAGERS
    begins_transaction = True
    # It is given all by its path. What comes along all the same is refused, since it would change nothing.
    bodiless = False
    # What a GET takes in its query: filters and paging, which a list has, or the fields of a serializer.
    filterset_class: type[FilterSet] | None = None
    query_class: type[Serializer[Any]] | None = None

    @property
    def tenant(self) -> Tenant:
        if getattr(self, "swagger_fake_view", False):
            return Tenant()  # the schema is drawn without a caller
        return self.principal.tenant

    @property
    def principal(self) -> Principal:
        principal = self.request.user
        assert isinstance(principal, Principal)  # by IsMember
        return principal

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.in_transaction = False
        with ExitStack() as self.transaction:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        parameters.check(request.query_params, self._parameters(request))
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            raise LengthRequiredError  # which Django would take for an empty body
        # A slow sender must hold neither a connection nor a transaction.
        if not connection.in_atomic_block:
            give_back_connection()
        self.receive(request)
        if self.bodiless:
            StrictSerializer(data=request.data).is_valid(raise_exception=True)
        if self.begins_transaction:
            self.transaction.enter_context(tenant_transaction(self.tenant))
            self.in_transaction = True

    def _parameters(self, request: Request) -> dict[str, bool]:
        """What may stand in the query, and which of it several times."""
        if request.method not in ("GET", "HEAD"):
            return {}
        if self.query_class:
            return dict.fromkeys(self.query_class().fields, False)
        return parameters.of_list(self.filterset_class) if self.filterset_class else {}

    def receive(self, request: Request) -> None:
        """Wait for the whole of the body."""
        _ = request.body

    def end_transaction(self) -> None:
        """Commit what was done, before a handler that needs no more rows asks something over a network.

        The connection goes back, too: an answer that is streamed keeps this thread until its last byte.
        """
        self.in_transaction = False
        self.transaction.close()
        if not connection.in_atomic_block:
            give_back_connection()

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if self.in_transaction:
            transaction.set_rollback(True)  # it ends without an exception: undo what was done in it
        return response

    def once(self, create: Callable[[], Response], **options: Any) -> Response:
        """Answer a POST that creates, honouring its Idempotency-Key."""
        return idempotency.once(self.request, tenant_id=self.tenant.pk, create=create, **options)

    def page(self, queryset: Any) -> Response:
        """One page of a list, after the view's filters."""
        rows = self.paginate_queryset(self.filter_queryset(queryset))
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)
