"""kill -9 of each process while a campaign runs: afterwards it has finished as if nothing had happened."""

import psutil
import pytest

from tests.live import (
    PROCESSES,
    Api,
    Creator,
    approve,
    check_delivered_once,
    new_campaign,
    new_creator,
    query,
    status_of,
    wait_for_sent,
    wait_for_status,
)
from tests.resilience.books import check_books
from tests.resilience.conftest import Machine
from tests.waiting import wait_until

pytestmark = pytest.mark.long

KINDS = (*PROCESSES, "redis", "postgres")
SLOWLY = {"operation": "send", "latency": {"distribution": "constant", "ms": 1500}}
THINKING = {"latency": {"distribution": "constant", "ms": 2000}}


def wait_for_calls(machine: Machine, campaign: str) -> None:
    """Until a provider is being asked for this campaign."""
    held = "SELECT 1 FROM costs_hold WHERE campaign_id = %s AND state = 'held'"
    wait_until(lambda: query(machine.stack, held, campaign), seconds=40, what="a call of a provider")


def wait_for_sending(api: Api, campaign: str) -> None:
    """Until messages are on their way to the platform."""
    wait_until(lambda: status_of(api, campaign)["counts"]["sending"], seconds=60, what="a message on its way")


def check_finished(machine: Machine, api: Api, campaign: str, *creators: Creator, seconds: int) -> None:
    """It finishes, and the platform, the API and the books agree that each fan got one message."""
    fans = sum(len(creator.fans) for creator in creators)
    status = wait_for_status(api, campaign, "finished", seconds=150 + fans / 10 * seconds)
    assert {state: number for state, number in status["counts"].items() if number} == {"sent": fans}
    check_delivered_once(machine.platform, *creators, seconds=seconds)
    check_books(machine.stack, api, campaign)


def survive(machine: Machine, api: Api, *, seconds: int, honour_keys: bool) -> None:
    """Kill each kind of process once, spread over the campaign's way. `seconds` is the accounts' window."""
    before = {name: machine.pid_of(name) for name in KINDS}
    creators = [new_creator(api, fans=fans, seconds=seconds) for fans in (24, 10, 8)]
    machine.ai.faults(THINKING)
    campaign = new_campaign(api, *creators, price="12.00")

    wait_for_calls(machine, campaign)
    machine.kill("worker-ai")  # while the provider works on the plan
    machine.kill("worker-notifications")
    machine.kill("worker-analytics")

    wait_for_status(api, campaign, "personalising")
    wait_for_calls(machine, campaign)
    machine.kill("worker-campaigns")  # before it can take the texts in
    machine.kill("worker-costs")

    wait_for_status(api, campaign, "awaiting_approval")
    gunicorn = psutil.Process(machine.pid_of("web"))
    gunicorn.children()[0].kill()
    machine.platform.faults(SLOWLY, honour_keys=honour_keys)
    approve(api, campaign)

    wait_for_sending(api, campaign)
    machine.kill("worker-dispatch")  # with messages that may or may not have arrived
    machine.kill("web")
    machine.platform.faults(honour_keys=honour_keys)
    machine.kill("beat")
    # What the killed worker had begun keeps its slots, so the rest may have to wait for later windows.
    patience = 60 + 2 * seconds
    wait_for_sent(api, campaign, 1, seconds=patience)
    machine.kill("redis")
    wait_for_sent(api, campaign, 30, seconds=patience)
    machine.kill("postgres")

    check_finished(machine, api, campaign, *creators, seconds=seconds)
    machine.stack.wait_ready(*KINDS)
    same = [name for name in KINDS if machine.pid_of(name) == before[name]]
    assert not same, f"never killed: {same}"


def test_a_campaign_finishes_though_every_process_is_killed_once(machine: Machine, ada: Api) -> None:
    """On a platform that ignores keys, so that it would show every message that is sent again."""
    survive(machine, ada, seconds=5, honour_keys=False)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("honour_keys", [True, False])
def test_a_campaign_under_the_real_limit_finishes_though_every_process_is_killed_once(
    machine: Machine, ada: Api, honour_keys: bool
) -> None:
    survive(machine, ada, seconds=60, honour_keys=honour_keys)


def test_a_worker_that_is_asked_to_stop_ends_what_it_has_begun(machine: Machine, ada: Api) -> None:
    creator = new_creator(ada, fans=8)
    machine.ai.faults(THINKING)
    machine.platform.faults(SLOWLY)
    campaign = new_campaign(ada, creator, approval="automatic")

    wait_for_calls(machine, campaign)
    terminate(machine, "worker-ai")
    plan = "SELECT state, attempts FROM ai_generation WHERE campaign_id = %s ORDER BY id LIMIT 1"
    assert query(machine.stack, plan, campaign) == [("succeeded", 1)]

    wait_for_sending(ada, campaign)
    terminate(machine, "worker-dispatch")
    assert status_of(ada, campaign)["counts"]["sending"] == 0
    check_finished(machine, ada, campaign, creator, seconds=5)


def terminate(machine: Machine, name: str) -> None:
    process = psutil.Process(machine.pid_of(name))
    process.terminate()
    process.wait(20)


def test_after_a_loss_of_power_a_campaign_goes_on_where_it_was(machine: Machine, ada: Api) -> None:
    """Here keys are honoured; what the platform had accepted is not delivered again."""
    creators = [new_creator(ada, fans=fans) for fans in (22, 5)]
    machine.platform.faults(SLOWLY)
    campaign = new_campaign(ada, *creators, approval="automatic")
    wait_for_sent(ada, campaign, 1)
    machine.lose_power()
    machine.boot()
    ada.base_url = machine.stack.base_url
    check_finished(machine, ada, campaign, *creators, seconds=5)
