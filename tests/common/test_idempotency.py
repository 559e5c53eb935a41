"""`Idempotency-Key`: what was created once is not created again."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.models import IdempotencyRecord
from apps.messaging.models import Account
from apps.operations.services.housekeeping import purge_idempotency_records
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import as_json, client_of
from tests.costs.threads import at_once

ACCOUNTS = "/api/v2/accounts"


def connect(api: APIClient, *, key: str, external_id: str = "luna") -> Any:
    body = {"platform": "onlyfans", "external_id": external_id, "name": "Luna", "credential": "token"}
    return api.post(ACCOUNTS, body, HTTP_IDEMPOTENCY_KEY=key)


def accounts() -> int:
    with system_transaction():
        return Account.objects.count()


def test_the_same_request_again_creates_nothing_and_gets_the_same_answer(api: APIClient) -> None:
    first, second = connect(api, key="one"), connect(api, key="one")
    assert (first.status_code, second.status_code) == (201, 201)
    assert as_json(first) == as_json(second)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert accounts() == 1


def test_the_same_key_with_another_body_is_a_conflict(api: APIClient) -> None:
    connect(api, key="one")
    response = connect(api, key="one", external_id="stella")
    assert response.status_code == 409
    assert as_json(response)["error"]["code"] == "idempotency_key_reused"
    assert accounts() == 1


def test_the_same_key_on_another_path_is_a_conflict(api: APIClient) -> None:
    account = as_json(connect(api, key="one"))
    response = api.post(f"{ACCOUNTS}/{account['id']}/fans", {"external_id": "s"}, HTTP_IDEMPOTENCY_KEY="one")
    assert response.status_code == 409


def test_a_key_belongs_to_its_tenant(api: APIClient, stranger_api: APIClient) -> None:
    connect(api, key="one")
    assert connect(stranger_api, key="one", external_id="stella").status_code == 201


def test_a_refused_request_does_not_use_the_key_up(api: APIClient) -> None:
    assert connect(api, key="one", external_id="").status_code == 400
    assert connect(api, key="one").status_code == 201


@pytest.mark.parametrize("key", ["x" * 256, "a\x00b", "a\x7fb", "\xe9"])
def test_a_key_that_cannot_be_kept_is_refused(key: str, api: APIClient) -> None:
    response = connect(api, key=key)
    assert response.status_code == 422
    assert as_json(response)["error"]["code"] == "invalid_idempotency_key"


@pytest.mark.django_db(transaction=True)
def test_of_identical_requests_at_once_one_creates_and_all_get_its_answer(agency: Tenant) -> None:
    clients = [client_of(agency) for _ in range(4)]
    responses = at_once(4, lambda index: connect(clients[index], key="one"))
    assert [response.status_code for response in responses] == [201] * 4
    assert all(as_json(response) == as_json(responses[0]) for response in responses)
    assert sum("Idempotency-Replayed" in response.headers for response in responses) == 3
    assert accounts() == 1


def test_keys_are_forgotten_after_a_day_in_chunks(agency: Tenant, api: APIClient) -> None:
    for number in range(5):
        connect(api, key=str(number), external_id=str(number))
    now = timezone.now()
    with system_transaction():
        old = IdempotencyRecord.objects.filter(key__in=["0", "1", "2"])
        old.update(created_at=now - timedelta(hours=24, seconds=1))
    assert purge_idempotency_records(now=now, chunk=2) == 3
    with system_transaction():
        assert set(IdempotencyRecord.objects.values_list("key", flat=True)) == {"3", "4"}
    assert purge_idempotency_records(now=now, chunk=2) == 0


def test_the_record_commits_together_with_what_it_stands_for(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    api.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr("apps.messaging.serializers.accounts.AccountSerializer.get_limit", fail)
        assert connect(api, key="one").status_code == 500
    assert accounts() == 0
    assert connect(api, key="one").status_code == 201
    assert not connection.needs_rollback


def test_without_a_key_every_request_counts(api: APIClient, agency: Tenant) -> None:
    fan_url = f"{ACCOUNTS}/{factories.account(tenant=agency).pk}/fans"
    assert api.post(fan_url, {"external_id": "sam"}).status_code == 201
    assert api.post(fan_url, {"external_id": "sam"}).status_code == 409
