"""Whatever is sent, the answer is never a 5xx, and every refusal has the one shape."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.costs.models import Budget
from apps.messaging.models import Account, Fan
from apps.notifications.models import Alert, NotificationTarget
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import client_of
from tests.described import described, paths

# Any text, lone surrogates and NUL included, as JSON can spell it.
TEXT = st.text(st.characters() | st.sampled_from("\x00\ud800\udfff\u202e "), max_size=20)
NUMBER = st.integers() | st.floats() | st.sampled_from([1e400, -1, 0, 2**31, 2**63, 10**400])
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)
TIME = st.sampled_from(
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "2026-02-30", "24:00", "23:59:60", "12:00+25:00"]
)
AMOUNT = st.sampled_from(["1e400", "-0", "NaN", "0.000000000000001", "12.00", "٣", "1_000", " 1 ", "9" * 50])
ODD = JSON | TIME | AMOUNT | st.sampled_from(["", "../etc/passwd", "Factory", "HIGH", {}, [], [[]], [{}]])

# Fields that can be right.
ACCOUNT = {
    "external_id": TEXT,
    "name": TEXT,
    "credential": TEXT,
    "limit": st.fixed_dictionaries({"count": NUMBER, "seconds": NUMBER}),
    "time_zone": st.sampled_from(["Europe/Paris", "UTC"]),
    "quiet_hours": st.fixed_dictionaries({"start": st.just("23:00"), "end": TIME | st.just("08:00")}),
}
FAN = {
    "external_id": TEXT,
    "name": TEXT,
    "attributes": st.dictionaries(TEXT, JSON, max_size=5),
}
MESSAGE = {
    "text": TEXT,
    "price": AMOUNT,
    "media": st.lists(TEXT, max_size=3),
    "not_before": st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]),
    "priority": st.sampled_from(["high", "low"]),
}
REPLAY = {
    "ids": st.lists(st.sampled_from([str(uuid7())]) | TEXT, max_size=3),
    "filter": st.dictionaries(
        st.sampled_from(["account", "campaign", "reason", "created_after", "finished_before"]),
        ODD,
        max_size=2,
    ),
    "all": st.booleans(),
    "state": st.sampled_from(["dead", "unknown"]),
}
SEGMENT = st.dictionaries(
    st.sampled_from(["include", "exclude"]),
    st.dictionaries(
        st.sampled_from(["spend", "last_purchase_at", "attributes"]),
        ODD | st.dictionaries(st.sampled_from(["gte", "lt", "eq", "in"]) | TEXT, ODD, max_size=2),
        max_size=2,
    ),
)
CAMPAIGN = {
    "name": TEXT,
    "brief": TEXT,
    "segment": SEGMENT,
    "price": AMOUNT,
    "tone": TEXT,
    "not_before": MESSAGE["not_before"],
}
BUDGET = {
    "scope": st.sampled_from(["tenant", "campaign", "provider"]),
    "scope_id": st.sampled_from([str(uuid7()), None]),
    "provider": st.sampled_from(["azure", None]),
    "period": st.sampled_from(["day", "week"]),
    "limit": AMOUNT | st.fixed_dictionaries({"amount": AMOUNT | NUMBER}),
    "mode": st.sampled_from(["shadow", "watch"]),
    "thresholds": st.lists(NUMBER | st.integers(1, 1000), max_size=25),
    "is_active": st.booleans(),
}
TARGET = {
    "channel": st.sampled_from(["email", "slack", "webhook"]),
    "name": TEXT,
    "address": st.just("ada@agency.example") | TEXT,
    "url": st.sampled_from(["http://127.0.0.1:1/", "http://[::1]", "http://localhost:99999/", "//x"]) | TEXT,
    "signing_key": st.none() | TEXT,
    "minimum_level": st.sampled_from(["info", "critical"]),
    "muted_rules": st.lists(st.just("daily_cost") | TEXT, max_size=3),
    "digest_minutes": NUMBER,
    "is_active": st.booleans(),
}
PARAMETERS = [
    *("state", "account", "fan", "campaign", "created_after", "created_before", "limit", "cursor"),
    *("platform", "paused", "external_id", "consent", "task", "source", "status", "type", "ordering"),
    *("rule", "level", "acknowledged", "subject"),
    *("scope", "scope_id", "period", "provider", "mode", "is_active"),
    *("by", "from", "to", "order", "offset", "format", "kind"),
    *("model", "task_kind", "user", "channel"),
]
SETTINGS = settings(
    max_examples=80,
    # The rows of one example don't disturb the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def bodies(fields: dict[str, st.SearchStrategy[Any]], **right: Any) -> st.SearchStrategy[Any]:
    """Bodies in which a field may be odd, and whatever else JSON can be."""
    names = st.sampled_from([*fields, *right, "consent", "spend", "last_purchase_at", "time_zone"])
    field = st.one_of(*(st.tuples(st.just(name), values) for name, values in fields.items()))
    odd = st.tuples(names | TEXT, ODD)
    return JSON | st.lists(field | odd, max_size=2).map(lambda found: right | dict(found))


@pytest.fixture(autouse=True, scope="module")
def _description() -> None:
    """Make the description beforehand: where hypothesis traces what runs, that would take half an hour."""
    paths()


def check(response: Any, sent: object) -> None:
    assert response.status_code < 500, (sent, response.content)
    # A `format` that there isn't is answered by the framework, with 404, before any view is asked.
    assert described(response) or "format" in response.wsgi_request.GET, (sent, response.content)
    if response.status_code >= 400:
        assert set(json.loads(response.content)["error"]) == {"code", "message", "fields"}


def send(api: APIClient, method: str, path: str, body: object) -> None:
    check(api.generic(method, path, json.dumps(body), content_type="application/json"), body)


@pytest.fixture
def owner_api(agency: Tenant) -> APIClient:
    return client_of(agency, Role.OWNER)


@pytest.fixture
def fan(account: Account) -> Fan:
    return factories.fan(account=account)


@SETTINGS
@given(body=bodies(ACCOUNT, platform="onlyfans", external_id="luna", name="Luna", credential="token"))
def test_accounts(body: Any, api: APIClient) -> None:
    send(api, "POST", "/api/v2/accounts", body)


@SETTINGS
@given(body=bodies({name: ACCOUNT[name] for name in ("name", "limit", "time_zone", "quiet_hours")}))
def test_changes_of_an_account(body: Any, account: Account, api: APIClient) -> None:
    send(api, "PATCH", f"/api/v2/accounts/{account.pk}", body)


@SETTINGS
@given(body=bodies(REPLAY))
def test_replays(body: Any, fan: Fan, api: APIClient) -> None:
    factories.message(fan=fan)
    send(api, "POST", "/api/v2/messages/replay", body)


@SETTINGS
@given(body=bodies({"reason": TEXT}))
def test_pauses(body: Any, account: Account, api: APIClient) -> None:
    send(api, "POST", f"/api/v2/accounts/{account.pk}/pause", body)


@SETTINGS
@given(body=bodies(FAN, external_id="sam"))
def test_fans(body: Any, account: Account, api: APIClient) -> None:
    send(api, "POST", f"/api/v2/accounts/{account.pk}/fans", body)


@SETTINGS
@given(data=st.data())
def test_messages(data: st.DataObject, fan: Fan, api: APIClient) -> None:
    body = data.draw(bodies(MESSAGE, account=str(fan.account_id), fan=str(fan.pk), text="Hello"))
    send(api, "POST", "/api/v2/onlyfans/messages", body)


@SETTINGS
@given(data=st.data())
def test_campaigns(data: st.DataObject, fan: Fan, api: APIClient) -> None:
    fixed = {"name": "Summer", "type": "mass_message", "brief": "New.", "accounts": [str(fan.account_id)]}
    send(api, "POST", "/api/v2/campaigns/hybrid", data.draw(bodies(CAMPAIGN, **fixed)))


@SETTINGS
@given(body=bodies({"until": TIME, "hours": NUMBER}))
def test_mutes(body: Any, agency: Tenant, api: APIClient) -> None:
    with system_transaction():
        alert, _ = Alert.objects.get_or_create(tenant_id=agency.pk, rule="daily_cost", message="Dear.")
    send(api, "POST", f"/api/v2/costs/alerts/{alert.pk}/mute", body)


@SETTINGS
@given(body=bodies(BUDGET, limit="5.00"))
def test_budgets(body: Any, api: APIClient) -> None:
    send(api, "POST", "/api/v2/costs/budgets", body)


@SETTINGS
@given(body=bodies(BUDGET))
def test_changes_of_a_budget(body: Any, agency: Tenant, api: APIClient) -> None:
    with system_transaction():
        budget, _ = Budget.objects.get_or_create(tenant_id=agency.pk, defaults={"limit": Decimal(5)})
    send(api, "PATCH", f"/api/v2/costs/budgets/{budget.pk}", body)


@SETTINGS
@given(body=bodies({"thresholds": BUDGET["thresholds"]}, budget=None))
def test_thresholds(body: Any, api: APIClient) -> None:
    send(api, "POST", "/api/v2/costs/thresholds", body)


@SETTINGS
@given(body=bodies(TARGET, channel="webhook", name="On call", url="http://127.0.0.1:1/"))
def test_targets(body: Any, owner_api: APIClient) -> None:
    send(owner_api, "POST", "/api/v2/costs/targets", body)


@SETTINGS
@given(body=bodies(TARGET))
def test_changes_of_a_target(body: Any, agency: Tenant, owner_api: APIClient) -> None:
    with system_transaction():
        target, _ = NotificationTarget.objects.get_or_create(
            tenant_id=agency.pk, channel="email", name="Office", defaults={"address": "ada@agency.example"}
        )
    send(owner_api, "PATCH", f"/api/v2/costs/targets/{target.pk}", body)


@SETTINGS
@given(body=bodies({"enabled": st.booleans()}, name="hybrid_orchestrator", enabled=True))
def test_feature_flags(body: Any, owner_api: APIClient) -> None:
    send(owner_api, "POST", "/api/admin/feature-flags", body)


@SETTINGS
@given(
    path=st.sampled_from(
        [
            "accounts",
            "messages",
            "generations",
            "campaigns",
            "campaigns/status",
            "fans",
            "onlyfans/stats",
            "costs/alerts",
            "costs/budgets",
            "costs/breakdown",
            "costs/targets",
            "analytics/economics",
            "analytics/revenue",
            "costs/forecast",
        ]
    ),
    query=st.dictionaries(
        st.sampled_from(PARAMETERS),
        TIME | AMOUNT | st.text(max_size=10) | st.sampled_from([str(uuid7()), "true", "queued", "5"]),
        max_size=3,
    ),
)
def test_lists(path: str, query: dict[str, str], account: Account, api: APIClient) -> None:
    where = f"accounts/{account.pk}/fans" if path == "fans" else path
    check(api.get(f"/api/v2/{where}", {name: _spelt(value) for name, value in query.items()}), query)


@SETTINGS
@given(body=st.binary(max_size=60), content_type=st.sampled_from(["application/json", "text/plain", ""]))
def test_bytes(body: bytes, content_type: str, api: APIClient) -> None:
    response = api.generic(
        "POST",
        "/api/v2/onlyfans/messages",
        body,  # type: ignore[arg-type]  # the stubs know text alone
        content_type=content_type,
    )
    check(response, body)


def _spelt(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
