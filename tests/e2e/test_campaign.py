"""Campaigns from the brief to the last message, through the public API of a stack as in production."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from apps.campaigns.services.steps.personalise import IN_FLIGHT
from huntaze.processes import WORKERS
from huntaze.stack import Stack
from tests.live import (
    Api,
    Platform,
    Refused,
    approve,
    check_delivered_once,
    live_stack,
    new_agency,
    new_campaign,
    new_creator,
    query,
    status_of,
    wait_for_sent,
    wait_for_status,
)
from tests.services import HOME
from tests.waiting import wait_until

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def services() -> Iterator[Stack]:
    with live_stack(HOME / "campaigns", environment={"HUNTAZE_SWEEP_SECONDS": "2"}) as services:
        yield services


@pytest.fixture(scope="module")
def ada(services: Stack) -> Api:
    return new_agency(services)


@pytest.fixture(scope="module")
def eve(services: Stack) -> Api:
    return new_agency(services, name="Eve's agency")


@pytest.fixture
def platform(services: Stack) -> Iterator[Platform]:
    platform = Platform(services.gateway_url)
    yield platform
    platform.heal()


@pytest.fixture
def ai(services: Stack) -> Iterator[Platform]:
    ai = Platform(services.ai_url)
    yield ai
    ai.heal()


def counts(status: Any) -> dict[str, int]:
    return {state: number for state, number in status["counts"].items() if number}


def test_a_campaign_is_planned_written_shown_approved_and_sent(ada: Api, platform: Platform) -> None:
    creators = [new_creator(ada, fans=13), new_creator(ada, fans=3)]
    campaign = new_campaign(ada, *creators, price="12.00", tone="playful")

    status = wait_for_status(ada, campaign, "awaiting_approval")
    assert counts(status) == {}
    assert [(step["name"], step["status"]) for step in status["steps"]] == [
        ("plan", "done"),
        ("personalise", "done"),
        ("approve", "running"),
        ("dispatch", "pending"),
        ("finish", "pending"),
    ]
    preview = ada.get(f"/campaigns/{campaign}/preview")
    assert preview["plan"]["summary"]
    assert preview["recipients"] == 16
    assert all(sample["fan_name"] in sample["text"] and not sample["error"] for sample in preview["samples"])
    approve(ada, campaign)

    status = wait_for_status(ada, campaign, "finished")
    assert counts(status) == {"sent": 16}
    assert status["progress"] == 1
    assert status["finished_at"]
    assert float(status["cost"]["amount"]) > float(preview["cost"]["amount"]) * 0.99 > 0
    assert {step["status"] for step in status["steps"]} == {"done"}
    check_delivered_once(platform, *creators)


def test_each_fan_gets_a_text_of_their_own_without_anybody_approving(ada: Api, platform: Platform) -> None:
    creator = new_creator(ada, fans=6)
    campaign = new_campaign(ada, creator, personalisation="per_fan", approval="automatic")
    status = wait_for_status(ada, campaign, "finished")
    assert counts(status) == {"sent": 6}
    check_delivered_once(platform, creator)
    generations = ada.every("/generations", campaign=campaign)
    assert len(generations) == 7  # the plan, and a text each
    spent = sum(float(each["cost"]["amount"]) for each in generations)
    assert float(status["cost"]["amount"]) == pytest.approx(spent)


def test_a_rejected_campaign_sends_nothing(ada: Api, platform: Platform) -> None:
    creator = new_creator(ada, fans=2)
    campaign = new_campaign(ada, creator)
    wait_for_status(ada, campaign, "awaiting_approval")
    status = ada.post(f"/campaigns/{campaign}/reject", {"reason": "Too playful."})
    assert (status["status"], status["reason"], counts(status)) == ("cancelled", "Too playful.", {})
    with pytest.raises(Refused) as refusal:
        ada.post(f"/campaigns/{campaign}/approve")
    assert refusal.value.code == "not_awaiting_approval"
    assert platform.deliveries(creator) == Counter()


def test_a_paused_campaign_waits_and_goes_on_where_it_was(ada: Api, platform: Platform) -> None:
    creator = new_creator(ada, fans=13, count=4, seconds=3)
    campaign = new_campaign(ada, creator, approval="automatic")
    wait_for_sent(ada, campaign, 4)
    paused = ada.post(f"/campaigns/{campaign}/pause")
    assert paused["paused"]
    status = wait_for_sent(ada, campaign, counts(paused)["sent"] + paused["in_flight"])
    # Another account of another campaign passes by meanwhile: dispatch itself isn't held up.
    other = new_creator(ada, fans=5, count=4, seconds=3)
    wait_for_status(ada, new_campaign(ada, other, approval="automatic"), "finished")
    assert counts(status_of(ada, campaign)) == counts(status)
    assert counts(status)["queued"] > 0

    ada.post(f"/campaigns/{campaign}/resume")
    assert counts(wait_for_status(ada, campaign, "finished")) == {"sent": 13}
    check_delivered_once(platform, creator, count=4, seconds=3)


def test_a_campaign_cancelled_while_it_is_sent_stops_there(ada: Api, platform: Platform) -> None:
    creator = new_creator(ada, fans=12, count=3, seconds=3)
    campaign = new_campaign(ada, creator, approval="automatic")
    wait_for_sent(ada, campaign, 3)
    ada.post(f"/campaigns/{campaign}/cancel")
    status = wait_for_counts(ada, campaign, {"sent", "cancelled"})
    assert status["status"] == "cancelled"
    assert sum(counts(status).values()) == 12
    delivered = platform.deliveries(creator)
    assert delivered.total() == len(delivered) == status["counts"]["sent"] < 12


def wait_for_counts(api: Api, campaign: str, states: set[str]) -> Any:
    """The status once no message is in any state but these."""

    def reached() -> Any:
        status = status_of(api, campaign)
        return status if counts(status).keys() <= states else None

    return wait_until(reached, seconds=40, what=f"messages to be {states}")


def test_another_agency_sees_and_touches_nothing(ada: Api, eve: Api) -> None:
    creator = new_creator(ada, fans=1)
    campaign = new_campaign(ada, creator)
    for path in (
        f"/campaigns/status/{campaign}",
        f"/campaigns/{campaign}/preview",
        f"/accounts/{creator.id}",
    ):
        assert refused(lambda path=path: eve.get(path)) == 404
    for verb in ("approve", "pause", "resume", "cancel"):
        assert refused(lambda verb=verb: eve.post(f"/campaigns/{campaign}/{verb}")) == 404
    assert refused(lambda: new_campaign(eve, creator)) in (400, 404, 422)
    for path in ("/campaigns", "/accounts", "/messages", "/generations"):
        assert eve.every(path) == []
    assert wait_for_status(ada, campaign, "awaiting_approval")["paused"] is False


def refused(call: Any) -> int:
    with pytest.raises(Refused) as refusal:
        call()
    return refusal.value.status


def test_a_campaign_asked_for_twice_with_one_key_is_one(ada: Api) -> None:
    creator = new_creator(ada, fans=1)
    first = new_campaign(ada, creator, key="summer")
    assert new_campaign(ada, creator, key="summer") == first
    with pytest.raises(Refused) as refusal:
        new_campaign(ada, creator, key="summer", name="Another")
    assert refusal.value.code == "idempotency_key_reused"
    assert sum(each["id"] == first for each in ada.every("/campaigns")) == 1


def test_where_one_provider_fails_the_other_answers(ada: Api, ai: Platform, platform: Platform) -> None:
    ai.faults({"provider": "azure", "error_rates": {"500": 1}})
    creator = new_creator(ada, fans=2)
    # In words of its own, to which no answer is cached.
    campaign = new_campaign(ada, creator, approval="automatic", brief="Photographs from the mountains.")
    assert counts(wait_for_status(ada, campaign, "finished", seconds=90)) == {"sent": 2}
    check_delivered_once(platform, creator)
    plan = next(each for each in ada.every("/generations", campaign=campaign) if each["task"] == "planning")
    assert plan["provider"] == "openai"


def test_a_platform_that_stumbles_still_gets_each_message_once(ada: Api, platform: Platform) -> None:
    creators = [new_creator(ada, fans=12, count=6, seconds=2), new_creator(ada, fans=5)]
    platform.faults(
        {"operation": "send", "count": 3, "error_rates": {"503": 1}},
        {"operation": "send", "count": 3, "cut_after": 1},
        {"operation": "send", "count": 2, "cut_before": 1},
        {"operation": "send", "count": 2, "malformed": 1},
        {"operation": "send", "count": 2, "error_rates": {"429": 1}, "retry_after": 2},
        {"operation": "lookup", "count": 1, "error_rates": {"500": 1}},
    )
    campaign = new_campaign(ada, *creators, approval="automatic")
    assert counts(wait_for_status(ada, campaign, "finished", seconds=120)) == {"sent": 17}
    check_delivered_once(platform, creators[0], count=6, seconds=2)
    check_delivered_once(platform, creators[1])
    outcomes = Counter(each["outcome"] for creator in creators for each in platform.arrivals(creator))
    assert outcomes["failed"] == 5
    assert outcomes["lost"] == 2


def test_every_thread_of_an_ai_worker_waits_for_an_answer_at_once_on_few_connections(
    services: Stack, ada: Api, ai: Platform
) -> None:
    ai.faults({"provider": "openai", "latency": {"distribution": "constant", "ms": 30000}})
    # A campaign asks for so many texts at a time; it takes several to fill the worker.
    campaigns = [
        new_campaign(ada, new_creator(ada, fans=IN_FLIGHT + 3), personalisation="per_fan")
        for _ in range(-(-WORKERS["ai"] // IN_FLIGHT))
    ]

    def waiting() -> int:
        [(number,)] = query(services, "SELECT count(*) FROM ai_generation WHERE state = 'running'")
        return int(number)

    wait_until(lambda: waiting() == WORKERS["ai"], seconds=25, what="a generation for every thread")
    [(connections,)] = query(
        services, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'worker-ai'"
    )
    assert 0 < connections <= 12
    for campaign in campaigns:
        ada.post(f"/campaigns/{campaign}/cancel")
