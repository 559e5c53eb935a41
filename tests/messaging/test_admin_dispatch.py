"""The operator's page Dispatch, limits, platforms, and what is done to many messages at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.messaging.admin import replay_page
from apps.messaging.admin.dispatch_page import DispatchAdmin
from apps.messaging.models import (
    Account,
    BreakerState,
    DispatchEpoch,
    Layer,
    Message,
    PlatformState,
    SendLimit,
)
from apps.messaging.services import epoch, replay
from apps.tenants.models import Tenant, User
from apps.tenants.system import system_transaction
from tests import factories
from tests.messaging import dispatching as d
from tests.messaging.test_api_replay import die, states

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client, settings: Any) -> Client:
    settings.ONLYFANS_API_URL = "http://127.0.0.1:9"
    client.force_login(operator)
    return client


def url(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def page(browser: Client, **query: str) -> str:
    answer = browser.get(reverse("admin:messaging_dispatch"), query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def listed(text: str, *accounts: Account) -> list[bool]:
    return [url(Account, "change", account.pk) in text for account in accounts]


def above_the_list(browser: Client, operation: str, *rows: Model) -> list[str]:
    data = {"action": operation, "_selected_action": [str(row.pk) for row in rows]}
    answer = browser.post(url(type(rows[0]), "changelist"), data)
    return [str(message) for message in get_messages(answer.wsgi_request)]


def on_the_page(browser: Client, operation: str, row: Model, **fields: str) -> list[str]:
    answer = browser.post(url(type(row), operation, row.pk), {"_form_submitted": "True", **fields})
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_an_empty_page_says_that_nothing_is_queued(browser: Client) -> None:
    text = page(browser)
    assert "Nothing is queued" in text
    assert "No dispatch worker is alive." in text
    assert "Each account, OnlyFans" in text


def test_the_page_shows_limits_backlog_and_the_end(browser: Client, agency: Tenant) -> None:
    with system_transaction():
        SendLimit.objects.create(layer=Layer.TENANT, subject_id=agency.pk, count=1500, seconds=60)
    account, idle = factories.account(tenant=agency, name="Lüna <b>"), factories.account(tenant=agency)
    box = d.enqueue(account, 25)
    assert len(d.grant()) == 10
    d.change(d.enqueue(account, 3), paused_at=timezone.now())
    text = page(browser)
    assert listed(text, account, idle) == [True, False]
    assert "Lüna &lt;b&gt;" in text
    assert "10 of 10 in 60 s" in text
    assert "15 + 3 held" in text
    assert "(its limit)" in text
    assert "1,500 in 60 s" in text
    assert "1,490" in text  # free of the tenant's limit
    d.change(box, cancelled_at=timezone.now())
    assert "0 + 3 held" in page(browser)


def test_the_list_is_filtered_searched_and_sorted(browser: Client, agency: Tenant) -> None:
    few, many, idle = (factories.account(tenant=agency, name=name) for name in ("Few", "Many", "Idle"))
    d.enqueue(few, 1)
    d.enqueue(many, 5)
    assert listed(page(browser), few, many, idle) == [True, True, False]
    assert listed(page(browser, **{"with": "all"}), few, many, idle) == [True] * 3
    assert listed(page(browser, **{"with": "unknown"}), few, many, idle) == [False] * 3
    assert listed(page(browser, q="Man"), few, many, idle) == [False, True, False]
    assert listed(page(browser, platform__exact="tiktok"), few, many, idle) == [False] * 3
    column = DispatchAdmin.list_display.index("queued")
    for order, first in ((f"-{column}", many), (f"{column}", few)):
        text = page(browser, o=order)
        other = few if first == many else many
        assert text.index(f">{first.name}<") < text.index(f">{other.name}<")


def test_the_list_has_pages(browser: Client, agency: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DispatchAdmin, "list_per_page", 2)
    accounts = [factories.account(tenant=agency, name=f"Account {index}") for index in range(3)]
    for account in accounts:
        d.enqueue(account, 1)
    assert sum(listed(page(browser), *accounts)) == 2
    assert sum(listed(page(browser, p="2"), *accounts)) == 1


def test_more_accounts_cost_no_more_statements(browser: Client, agency: Tenant) -> None:
    counts = []
    for number in (1, 7):
        for _ in range(number):
            d.enqueue(factories.account(tenant=agency), 1)
        page(browser)  # content types and the limiter's state are read once
        with CaptureQueriesContext(connection) as captured:
            page(browser)
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_an_account_links_to_its_line(browser: Client, account: Account) -> None:
    link = f"{reverse('admin:messaging_dispatch')}?with=all&amp;q={account.pk}"
    assert link in browser.get(url(Account, "change", account.pk)).content.decode()
    assert listed(page(browser, **{"with": "all", "q": str(account.pk)}), account) == [True]


def test_only_staff_with_the_right_see_it(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse("admin:messaging_dispatch")).status_code == 403
    client.logout()
    assert client.get(reverse("admin:messaging_dispatch")).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_limiter_is_asked(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, ask = [], epoch.logs

    def logs() -> Any:
        seen.append(connection.in_atomic_block)
        return ask()

    monkeypatch.setattr(epoch, "logs", logs)
    page(browser, **{"with": "all"})
    assert seen == [False]


def limit_form(**fields: Any) -> dict[str, Any]:
    return {"layer": "tenant", "platform": "", "count": "5", "seconds": "60", "min_gap_ms": "0", **fields}


def test_a_limit_is_made_changed_and_taken_back_and_each_begins_an_epoch(
    browser: Client, agency: Tenant
) -> None:
    def number() -> int:
        with system_transaction():
            return DispatchEpoch.objects.get().number

    with system_transaction():
        epoch.current()
    before = number()
    browser.post(url(SendLimit, "add"), limit_form(tenant=str(agency.pk)))
    with system_transaction():
        limit = SendLimit.objects.get()
    assert (limit.layer, limit.subject_id, limit.count) == ("tenant", agency.pk, 5)
    browser.post(url(SendLimit, "change", limit.pk), {"count": "7", "seconds": "60", "min_gap_ms": "0"})
    assert d.fresh(limit).count == 7
    browser.post(url(SendLimit, "delete", limit.pk), {"post": "yes"})
    with system_transaction():
        assert not SendLimit.objects.exists()
    assert number() >= before + 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"layer": "global", "tenant": True}, "Only a limit of the layer “Tenant” is for one tenant."),
        ({"layer": "tenant", "user": True}, "Only a limit of the layer “User” is for one user."),
        (
            {"layer": "tenant", "platform": "onlyfans"},
            "Only limits of recipients and accounts differ",
        ),
        ({"count": "0"}, "greater than or equal to 1"),
        ({"seconds": "-1"}, "greater than or equal to"),
    ],
)
def test_a_limit_that_cannot_be_is_explained(
    fields: dict[str, Any], words: str, browser: Client, operator: User, agency: Tenant
) -> None:
    whose = {"tenant": str(agency.pk), "user": str(operator.pk)}
    given = {name: whose[name] if value is True else value for name, value in fields.items()}
    answer = browser.post(url(SendLimit, "add"), limit_form(**given))
    assert words in answer.content.decode()
    with system_transaction():
        assert not SendLimit.objects.exists()


def test_there_is_one_limit_for_the_same(browser: Client, agency: Tenant) -> None:
    for _ in range(2):
        answer = browser.post(url(SendLimit, "add"), limit_form(tenant=str(agency.pk)))
    assert "There is such a limit already" in answer.content.decode()


def test_a_platform_is_paused_with_a_reason_and_resumed(browser: Client, account: Account) -> None:
    d.enqueue(account, 3)
    d.grant()
    assert "OnlyFans" in browser.get(url(PlatformState, "changelist")).content.decode()
    with system_transaction():
        state = PlatformState.objects.get(pk="onlyfans")
    said = on_the_page(browser, "pause", state, reason="Wartung ⚙")
    assert said == ["Paused. 3 messages are on their way already."]
    assert d.fresh(state).pause_reason == "Wartung ⚙"
    d.enqueue(account, 1)
    assert d.grant(timezone.now() + timedelta(minutes=5)) == []
    on_the_page(browser, "resume", state)
    assert len(d.grant(timezone.now() + timedelta(minutes=5))) == 1


def test_an_open_breaker_is_closed_by_hand(browser: Client) -> None:
    with system_transaction():
        state = PlatformState.objects.create(
            platform="onlyfans", breaker=BreakerState.OPEN, failures=30, openings=2, open_until=timezone.now()
        )
    assert "breaker is open" not in page(browser)
    change = url(PlatformState, "change", "onlyfans")
    assert url(PlatformState, "close_breaker", "onlyfans") in browser.get(change).content.decode()
    on_the_page(browser, "close_breaker", state)
    state = d.fresh(state)
    assert (state.breaker, state.failures, state.openings, state.open_until) == ("closed", 0, 0, None)


@pytest.mark.parametrize("what", ["account", "tenant", "outbox", "campaign"])
def test_a_pause_says_what_is_on_its_way_in_as_many_statements_as_ever(
    what: str, browser: Client, agency: Tenant
) -> None:
    counts = []
    for number in (3, 30):
        account = factories.account(tenant=agency, limit_count=100, limit_seconds=60)
        campaign = factories.campaign(tenant=agency, accounts=[account])
        d.enqueue(account, number, outbox=campaign.outbox)
        d.grant()
        row = {"account": account, "tenant": agency, "outbox": campaign.outbox, "campaign": campaign}[what]
        with CaptureQueriesContext(connection) as captured:
            said = above_the_list(browser, "pause", row)
        counts.append(len(captured))
        assert said[-1].startswith("Paused.")
        assert "on their way already." in said[-1]
        above_the_list(browser, "resume", row)
    assert counts[0] >= counts[1]


def test_an_accounts_new_pace_counts_at_once(browser: Client, agency: Tenant) -> None:
    later = timezone.now() + timedelta(hours=1)
    account = factories.account(tenant=agency, next_due=later)
    same = (
        "platform",
        "external_id",
        "limit_count",
        "limit_seconds",
        "min_gap_ms",
        "time_zone",
        "quiet_zone",
    )
    form = {"name": "Renamed", "credential": "", **{name: str(getattr(account, name)) for name in same}}
    browser.post(url(Account, "change", account.pk), form)
    assert (d.fresh(account).name, d.fresh(account).next_due) == ("Renamed", later)
    browser.post(url(Account, "change", account.pk), {**form, "limit_count": "", "limit_seconds": ""})
    assert d.fresh(account).limit_count is None
    assert d.fresh(account).next_due <= timezone.now()


def test_queued_messages_are_taken_back(browser: Client, account: Account) -> None:
    box = d.enqueue(account, 2)
    queued, other = d.rows()
    (sent,) = die(1, account)
    assert above_the_list(browser, "cancel", queued, sent) == ["Cancelled: 2. That was 1 of 2."]
    assert states([queued, other, sent]) == ["cancelled", "queued", "dead"]
    assert d.counts(box) == {"queued": 1, "cancelled": 1}
    assert "None of them is queued" in above_the_list(browser, "cancel", sent)[-1]


def test_all_dead_messages_of_a_filter_are_replayed_after_a_question(
    browser: Client, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay.replay_matching, "__kwdefaults__", {"most": 2})
    monkeypatch.setattr(replay_page, "AT_ONCE", 2)
    mine, others = (factories.account(tenant=agency) for _ in range(2))
    messages, left = die(3, mine), die(1, others)
    query = f"?account__id__exact={mine.pk}"
    here = reverse("admin:messaging_replay") + query
    assert here in browser.get(url(Message, "changelist") + query).content.decode()
    asked = browser.get(here).content.decode()
    assert "3 dead messages that the list" in asked
    assert "Replay 2" in asked
    assert states(messages) == ["dead"] * 3
    first = browser.post(here)
    assert first.headers["Location"] == here
    assert states(messages).count("dead") == 1
    assert "1 dead message that the list" in browser.get(here).content.decode()
    assert "replay" not in browser.post(here).headers["Location"]
    assert states(messages + left) == ["queued"] * 3 + ["dead"]
    assert "No dead message can be replayed" in browser.get(here).content.decode()
    assert LogEntry.objects.count() == 2


def test_staff_without_the_right_replay_nothing(client: Client, account: Account) -> None:
    dead = die(1, account)
    client.force_login(factories.user(is_staff=True))
    assert client.post(reverse("admin:messaging_replay")).status_code == 403
    assert states(dead) == ["dead"]
