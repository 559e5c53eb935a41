"""How full the limits are, and what there is to send, through the API."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from redis import Redis
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.messaging.limiter.rules import Limit
from apps.messaging.models import (
    Account,
    BreakerState,
    DispatchEpoch,
    DispatchWorker,
    Layer,
    Message,
    Mode,
    PlatformState,
    SendLimit,
)
from apps.messaging.services import epoch
from apps.tenants.models import Membership, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import as_json
from tests.messaging import dispatching as d

STATS = "/api/v2/onlyfans/stats"
WINDOW = timedelta(microseconds=Limit(10, 60).window)


@pytest.fixture(autouse=True)
def onlyfans(settings: Any) -> None:
    """The platform has an address; nothing is sent there."""
    settings.ONLYFANS_API_URL = "http://127.0.0.1:9"


@pytest.fixture(params=[Mode.REDIS, Mode.POSTGRES])
def mode(request: pytest.FixtureRequest, db: None) -> Iterator[Mode]:
    """Who decides about limits."""
    if request.param == Mode.REDIS:
        epoch.renew(reason="a test")
    else:
        epoch.renew(reason="a test", mode=Mode.POSTGRES)
    yield request.param
    with system_transaction():
        DispatchEpoch.objects.update(mode=Mode.REDIS)


def limit(layer: Layer, count: int, **fields: Any) -> None:
    with system_transaction():
        SendLimit.objects.create(layer=layer, count=count, seconds=60, **fields)


def stats(api: APIClient, query: str = "") -> dict[str, Any]:
    response = api.get(STATS, QUERY_STRING=query)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = as_json(response)
    return body


def only(api: APIClient, query: str = "") -> dict[str, Any]:
    (row,) = stats(api, query)["results"]
    found: dict[str, Any] = row
    return found


def instant(text: str) -> datetime:
    found = parse_datetime(text)
    assert found is not None
    return found


def about(text: str, expected: datetime) -> bool:
    return abs(instant(text) - expected) < timedelta(seconds=5)


def test_without_accounts_there_is_a_summary_and_nothing_else(api: APIClient) -> None:
    body = stats(api)
    assert body["results"] == []
    assert body["backlog"] == {"queued": 0, "held": 0, "sending": 0, "unknown": 0}
    assert body["layers"] == {"everything": None, "tenant": None, "users": [], "recipient": None}
    assert body["summary"]["mode"] == "redis"
    assert (body["summary"]["workers"], body["summary"]["held"]) == (0, "No dispatch worker is alive.")
    platforms = {each["platform"]: each for each in body["summary"]["platforms"]}
    assert platforms["onlyfans"]["connected"]
    assert (platforms["onlyfans"]["breaker"], platforms["onlyfans"]["paused"]) == ("closed", False)
    assert not platforms["tiktok"]["connected"]


def test_an_account_that_has_sent_nothing_has_every_slot(account: Account, api: APIClient) -> None:
    row = only(api)
    assert (row["account"], row["name"], row["paused"]) == (str(account.pk), account.name, False)
    assert {name: row["slots"][name] for name in ("count", "seconds", "used", "free")} == {
        "count": 10, "seconds": 60, "used": 0, "free": 10,
    }  # fmt: skip
    assert (row["next_send_at"], row["eta"], row["waits_for"]) == (None, None, None)
    assert about(row["next_slot_at"], timezone.now())


def test_what_was_granted_takes_slots_of_all_layers(mode: Mode, agency: Tenant, api: APIClient) -> None:
    limit(Layer.TENANT, 20, subject_id=agency.pk)
    account = factories.account(tenant=agency, name="Lüna 🌙")
    d.enqueue(account, 25)
    granted = timezone.now()
    assert len(d.grant()) == 10
    body = stats(api)
    (row,) = body["results"]
    assert body["summary"]["mode"] == mode.value
    assert row["name"] == "Lüna 🌙"
    assert (row["slots"]["used"], row["slots"]["free"]) == (10, 0)
    assert (body["layers"]["tenant"]["used"], body["layers"]["tenant"]["free"]) == (10, 10)
    assert row["backlog"] == {"queued": 15, "held": 0, "sending": 10, "unknown": 0}
    assert body["backlog"] == row["backlog"]
    opens = granted + timedelta(seconds=15) + WINDOW  # each is stamped with its latest arrival
    assert about(row["slots"]["next_slot_at"], opens)
    assert about(row["next_send_at"], opens)
    assert row["waits_for"] == "limit"
    assert about(row["eta"], opens + WINDOW)


def test_a_gap_hides_no_free_slot(agency: Tenant, api: APIClient) -> None:
    account = factories.account(tenant=agency, min_gap_ms=30_000)
    d.enqueue(account, 3)
    assert len(d.grant()) == 1
    row = only(api)
    assert (row["slots"]["used"], row["slots"]["free"]) == (1, 9)
    assert instant(row["slots"]["next_slot_at"]) > timezone.now() + timedelta(seconds=25)


def test_a_limit_that_was_lowered_below_its_use_has_no_free_slot(account: Account, api: APIClient) -> None:
    d.enqueue(account, 10)
    d.grant()
    d.change(account, limit_count=9)  # -1 free, which is also how Redis says “not loaded”
    assert (only(api)["slots"]["used"], only(api)["slots"]["free"]) == (10, 0)
    d.change(account, limit_count=5)
    assert (only(api)["slots"]["used"], only(api)["slots"]["free"]) == (10, 0)


def test_an_account_whose_log_redis_lost_is_read_from_the_rows(
    account: Account, api: APIClient, settings: Any
) -> None:
    d.enqueue(account, 4)
    d.grant()
    with Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*client.keys("huntaze:limiter*account*"))
        assert only(api)["slots"]["used"] == 4
        client.flushall()
    assert only(api)["slots"]["used"] == 4


def test_redis_that_is_away_costs_nothing_but_the_wait(
    account: Account, api: APIClient, settings: Any
) -> None:
    d.enqueue(account, 4)
    d.grant()
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert only(api)["slots"]["used"] == 4


def test_a_users_limit_is_shown_for_the_tenants_own_people(
    agency: Tenant, stranger: Tenant, api: APIClient
) -> None:
    ada, eve = factories.user(tenant=agency), factories.user(tenant=stranger)
    assert stats(api)["layers"]["users"] == []
    limit(Layer.USER, 3)
    limit(Layer.USER, 5, subject_id=eve.pk)
    account = factories.account(tenant=agency)
    d.enqueue(account, 2, outbox=factories.outbox(tenant=agency, user_id=ada.pk))
    with system_transaction():
        Message.objects.update(user_id=ada.pk)
    d.grant()
    (user,) = stats(api)["layers"]["users"]
    assert (user["user"], user["count"], user["used"], user["free"]) == (str(ada.pk), 3, 2, 1)


def test_no_tenant_sees_what_others_use(
    agency: Tenant, stranger: Tenant, api: APIClient, stranger_api: APIClient
) -> None:
    limit(Layer.GLOBAL, 2)
    limit(Layer.TENANT, 7, subject_id=stranger.pk)
    limit(Layer.USER, 5)
    both = factories.user(tenant=agency)
    with system_transaction():
        Membership.objects.create(tenant=stranger, user=both, role="owner")
    d.enqueue(factories.account(tenant=stranger), 3)
    assert len(d.grant()) == 2
    body = stats(api)
    assert body["results"] == []
    assert body["backlog"]["queued"] == 0
    assert body["layers"]["tenant"] is None
    assert (body["layers"]["everything"]["used"], body["layers"]["everything"]["free"]) == (None, None)
    assert instant(body["layers"]["everything"]["next_slot_at"]) > timezone.now() + timedelta(seconds=30)
    assert [user["used"] for user in body["layers"]["users"]] == [None]
    theirs = stats(stranger_api)
    assert (theirs["layers"]["tenant"]["count"], theirs["layers"]["tenant"]["used"]) == (7, 2)


def test_a_fan_is_asked_about_by_name(agency: Tenant, api: APIClient) -> None:
    limit(Layer.RECIPIENT, 2, platform="onlyfans")
    account = factories.account(tenant=agency)
    fan, other = factories.fans(2, account=account)
    for _ in range(3):
        d.enqueue(account, fans=[fan])
    assert len(d.grant()) == 2
    found = stats(api, f"account={account.pk}&fan={fan.pk}")["layers"]["recipient"]
    assert (found["fan"], found["used"], found["free"]) == (str(fan.pk), 2, 0)
    found = stats(api, f"account={account.pk}&fan={other.pk}")["layers"]["recipient"]
    assert (found["used"], found["free"]) == (0, 2)
    assert stats(api, f"account={account.pk}")["layers"]["recipient"] is None


def test_a_fan_of_somebody_else_is_not_there(
    account: Account, agency: Tenant, api: APIClient, stranger_api: APIClient
) -> None:
    fan = factories.fan(account=account)
    another = factories.account(tenant=agency)
    for client, query, status in (
        (stranger_api, f"account={account.pk}&fan={fan.pk}", 404),
        (api, f"account={another.pk}&fan={fan.pk}", 404),
        (api, f"account={account.pk}&fan={uuid7()}", 404),
        (api, f"fan={fan.pk}", 400),
    ):
        assert client.get(STATS, QUERY_STRING=query).status_code == status
    assert stats(stranger_api, f"account={account.pk}")["results"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("account=1", "account"),
        ("fan=%00&account=", "fan"),
        ("platform=myspace", "platform"),
        ("paused=perhaps", "paused"),
        ("acount=x", "acount"),
        ("limit=0", "limit"),
        ("cursor=nonsense", "cursor"),
    ],
)
def test_a_parameter_that_cannot_be_right_is_refused_by_name(query: str, field: str, api: APIClient) -> None:
    response = api.get(STATS, QUERY_STRING=query)
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == [field]


def test_accounts_are_filtered_and_paged(agency: Tenant, api: APIClient) -> None:
    rows = [factories.account(tenant=agency) for _ in range(5)]
    paused = factories.account(tenant=agency, paused_at=timezone.now(), platform="tiktok")
    found, url = [], f"{STATS}?limit=2&platform=onlyfans"
    while url:
        page = as_json(api.get(url))
        found += [row["account"] for row in page["results"]]
        url = page["next"]
    assert found == [str(row.pk) for row in reversed(rows)]
    assert only(api, "paused=true")["account"] == str(paused.pk)
    assert only(api, f"account={rows[0].pk}")["account"] == str(rows[0].pk)


def test_what_stands_still_has_no_end_and_says_why(agency: Tenant, api: APIClient) -> None:
    now = timezone.now()
    account = factories.account(tenant=agency)
    until = now + timedelta(minutes=1)
    box = d.enqueue(account, 3)

    def shown() -> tuple[Any, ...]:
        row = only(api)
        return row["waits_for"], row["next_send_at"], row["eta"], row["backlog"]["queued"]

    assert only(api)["eta"] is not None
    d.change(box, paused_at=now)
    assert shown() == (None, None, None, 0)
    assert only(api)["backlog"]["held"] == 3
    d.change(box, paused_at=None)
    d.change(account, paused_at=now)
    assert shown() == ("account_paused", None, None, 3)
    d.change(agency, paused_at=now)
    assert shown() == ("tenant_paused", None, None, 3)
    assert stats(api)["summary"]["tenant_paused"]
    d.change(agency, paused_at=None)
    d.change(account, paused_at=None)
    with system_transaction():
        state = PlatformState.objects.create(platform="onlyfans", paused_at=now, pause_reason="They said so.")
    assert shown() == ("platform_paused", None, None, 3)
    with system_transaction():
        PlatformState.objects.update(paused_at=None, breaker=BreakerState.OPEN, open_until=until)
    row = only(api)
    assert (row["waits_for"], instant(row["next_send_at"])) == ("breaker_open", until)
    assert instant(row["eta"]) >= until
    with system_transaction():
        state.delete()
    d.change(box, cancelled_at=now)
    assert shown() == (None, None, None, 0)


def test_a_platform_without_an_address_sends_nothing(account: Account, api: APIClient, settings: Any) -> None:
    settings.ONLYFANS_API_URL = ""
    d.enqueue(account, 1)
    assert only(api)["waits_for"] == "platform_not_connected"


def test_a_block_and_a_time_of_their_own_put_messages_off(account: Account, api: APIClient) -> None:
    now = timezone.now()
    d.enqueue(account, 20, now=now)
    blocked = now + timedelta(minutes=30)
    d.change(account, blocked_until=blocked, next_due=blocked)
    row = only(api)
    assert (row["waits_for"], instant(row["next_send_at"])) == ("blocked", blocked)
    assert about(row["eta"], blocked + WINDOW)
    d.change(account, blocked_until=None)
    tomorrow = now + timedelta(days=1)
    d.enqueue(account, 10, now=tomorrow)
    assert about(only(api)["eta"], tomorrow)
    with system_transaction():
        Message.objects.update(not_before=tomorrow)
    row = only(api)
    assert (row["waits_for"], instant(row["next_send_at"])) == ("not_before", tomorrow)
    assert about(row["eta"], tomorrow + 2 * WINDOW)


def test_quiet_hours_are_waited_for(account: Account, api: APIClient) -> None:
    now = timezone.now()
    ends = (now + timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    d.change(account, quiet_start=(now - timedelta(hours=1)).time(), quiet_end=ends.time())
    d.enqueue(account, 11)
    row = only(api)
    assert (row["waits_for"], instant(row["next_send_at"])) == ("quiet_hours", ends)
    assert about(row["eta"], ends + WINDOW)
    # By the fans' clocks some may go now, but those who live where the account does are asleep.
    d.change(account, quiet_zone="fan")
    row = only(api)
    assert row["waits_for"] is None
    assert instant(row["eta"]) == ends


def test_all_campaigns_of_an_account_count(account: Account, api: APIClient) -> None:
    d.enqueue(account, 10)
    d.enqueue(account, 10)
    factories.message(fan=factories.fan(account=account))
    row = only(api)
    assert row["backlog"]["queued"] == 21
    assert about(row["eta"], timezone.now() + 2 * WINDOW)


def test_a_limit_above_is_shared_with_the_other_accounts(agency: Tenant, api: APIClient) -> None:
    limit(Layer.TENANT, 10, subject_id=agency.pk)
    few, many = (factories.account(tenant=agency, limit_count=1000) for _ in range(2))
    d.enqueue(few, 5)
    d.enqueue(many, 95)
    rows = {row["account"]: row for row in stats(api)["results"]}
    now = timezone.now()
    # In turn: ten messages go until the account of five is through, a hundred until the other is.
    assert about(rows[str(few.pk)]["eta"], now)
    assert about(rows[str(many.pk)]["eta"], now + 9 * WINDOW)


def test_workers_that_are_alive_are_counted_and_what_holds_them_is_said(api: APIClient) -> None:
    now = timezone.now()
    with system_transaction():
        for seen, since in ((now, now), (now, None), (now - timedelta(minutes=1), now)):
            DispatchWorker.objects.create(id=uuid7(), name="worker", seen_at=seen, redis_since=since)
    summary = stats(api)["summary"]
    assert (summary["workers"], summary["held"]) == (2, None)
    with system_transaction():
        DispatchWorker.objects.update(holds="the clocks differ")
    assert stats(api)["summary"]["held"] == "The clocks differ."
    with system_transaction():
        DispatchWorker.objects.update(holds="", redis_since=None)
    assert stats(api)["summary"]["held"] == "No dispatch worker reaches Redis."


def test_every_role_reads_and_nobody_without_a_key(analyst_api: APIClient) -> None:
    assert analyst_api.get(STATS).status_code == 200
    assert APIClient().get(STATS).status_code == 401
    assert analyst_api.post(STATS, {}).status_code == 403


def test_more_accounts_cost_no_more_statements(agency: Tenant, api: APIClient) -> None:
    limit(Layer.TENANT, 10, subject_id=agency.pk)
    stats(api)  # notes the key's use, once a minute
    counts = []
    for number in (1, 11):
        for _ in range(number):
            d.enqueue(factories.account(tenant=agency), 2)
        with CaptureQueriesContext(connection) as captured:
            stats(api)
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_limiter_is_asked(
    account: Account, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    ask = epoch.logs

    def logs() -> Any:
        seen.append(connection.in_atomic_block)
        return ask()

    monkeypatch.setattr(epoch, "logs", logs)
    stats(api)
    assert seen == [False]
