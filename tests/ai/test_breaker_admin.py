"""What an operator sees of the deployments' breakers, and does to them, in the admin."""

import os
from typing import Any

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime

from apps.ai.admin.breakers import FIGURES, read_statuses
from apps.ai.models import BreakerChange, Deployment
from apps.ai.services.breakers import PREFIX, breaker_statuses, breakers, force_breaker, note_changes
from apps.common.breaker.rules import Report, Result, State, Status
from apps.common.ids import uuid7
from apps.tenants.models import User
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def deployment(db: None) -> Deployment:
    return factories.deployment(name="azure")


def status(deployment: Deployment) -> Status:
    return breaker_statuses([deployment.pk])[deployment.pk]


def call(deployment: Deployment, result: Result, times: int = 1) -> None:
    for _ in range(times):
        admission = status(deployment).admission()
        assert admission is not None
        note_changes(breakers().record(admission, Report(result)))


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:ai_deployment_{name}", args=args)


def text(browser: Client, url: str) -> str:
    return " ".join(browser.get(url).content.decode().split())


def figures(deployment: Deployment) -> str:
    """What its page says of it, beside the state."""
    read_statuses([deployment])
    return FIGURES(deployment)


def do(browser: Client, operation: str, deployment: Deployment, **fields: str) -> list[str]:
    answer = browser.post(page(operation, deployment.pk), {"_form_submitted": "True", **fields})
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_the_list_shows_the_state_of_each_breaker(browser: Client, deployment: Deployment) -> None:
    other = factories.deployment(name="openai")
    call(deployment, Result.FAILURE, times=5)
    force_breaker(deployment=other, state=State.CLOSED, by=uuid7(), reason="")
    shown = text(browser, page("changelist"))
    assert "held closed" in shown
    assert shown.index("open", shown.index(">azure<")) < shown.index(">openai<")


def test_a_deployments_page_says_why_nothing_goes_there_and_shows_the_last_changes(
    browser: Client, deployment: Deployment
) -> None:
    call(deployment, Result.SUCCESS)
    call(deployment, Result.FAILURE, times=3)
    shown = text(browser, page("change", deployment.pk))
    assert "3 of 4 calls failed in its window; 3 in a row; last success" in shown
    assert "since" not in figures(deployment)
    call(deployment, Result.FAILURE, times=2)
    shown = text(browser, page("change", deployment.pk))
    assert "breaker open, a probe may go in 60 s; 0 of 0 calls" in shown
    opened = status(deployment).since
    assert opened is not None
    assert f"; open since {date_format(localtime(opened), 'DATETIME_FORMAT')}" in shown
    assert "5 failures in a row" in shown


def test_while_redis_is_away_the_page_says_whose_view_it_is(deployment: Deployment, settings: Any) -> None:
    whose = "only as this process sees it, while Redis takes no results"
    assert whose not in figures(deployment)
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert figures(deployment).startswith(whose)


def test_the_page_to_add_a_deployment_has_no_breaker(browser: Client) -> None:
    shown = text(browser, page("add"))
    assert "Open breaker" not in shown
    assert "Last success" not in shown


def test_a_breaker_is_opened_with_a_reason(browser: Client, deployment: Deployment, operator: User) -> None:
    do(browser, "open_breaker", deployment)
    assert status(deployment).forced is None
    assert do(browser, "open_breaker", deployment, reason="Maintenance.") == ["Breaker opened."]
    assert status(deployment).excluded == "breaker opened by hand"
    with system_transaction():
        row = BreakerChange.objects.get()
    assert (row.reason, row.by) == ("opened by hand: Maintenance.", operator.pk)
    assert LogEntry.objects.get().get_change_message() == "Breaker opened. Maintenance."
    shown = text(browser, page("change", deployment.pk))
    assert "held open" in shown
    assert "ada@example.com" in shown


def test_a_breaker_is_closed_and_given_back(browser: Client, deployment: Deployment) -> None:
    call(deployment, Result.FAILURE, times=5)
    assert do(browser, "close_breaker", deployment) == ["Breaker closed."]
    assert status(deployment).forced is State.CLOSED
    assert do(browser, "release_breaker", deployment)[-1] == "Breaker back to automatic."
    assert (status(deployment).forced, status(deployment).state) == (None, State.CLOSED)


def test_a_second_time_is_refused_with_the_reason(browser: Client, deployment: Deployment) -> None:
    do(browser, "close_breaker", deployment)
    assert (
        do(browser, "close_breaker", deployment)[-1] == "azure: The breaker is held closed by hand already."
    )


def test_only_what_fits_is_offered(browser: Client, deployment: Deployment) -> None:
    def offered() -> list[bool]:
        shown = text(browser, page("change", deployment.pk))
        names = ("open_breaker", "close_breaker", "release_breaker")
        return [page(name, deployment.pk) in shown for name in names]

    assert offered() == [True, True, False]
    do(browser, "open_breaker", deployment, reason="Maintenance.")
    assert offered() == [False, True, True]
    do(browser, "close_breaker", deployment)
    assert offered() == [True, False, True]


def test_above_the_list_several_breakers_are_closed_at_once(browser: Client, deployment: Deployment) -> None:
    both = [deployment, factories.deployment()]
    data = {"action": "close_breaker", "_selected_action": [str(each.pk) for each in both]}
    browser.post(page("changelist"), data)
    assert [status(each).forced for each in both] == [State.CLOSED] * 2


def test_staff_without_the_right_can_not_open_one(client: Client, deployment: Deployment) -> None:
    client.force_login(factories.user(is_staff=True))
    answer = client.post(page("open_breaker", deployment.pk), {"_form_submitted": "True", "reason": "?"})
    assert answer.status_code == 403
    assert status(deployment).forced is None


def test_while_redis_is_away_the_pages_answer_and_the_operator_is_told(
    browser: Client, deployment: Deployment, settings: Any
) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert "azure" in text(browser, page("changelist"))
    assert "Redis can't be reached" in do(browser, "close_breaker", deployment)[-1]


def test_the_history_is_filtered_by_deployment_and_by_who_did_it(
    browser: Client, deployment: Deployment, operator: User
) -> None:
    other = factories.deployment()
    call(other, Result.FAILURE, times=5)
    force_breaker(deployment=deployment, state=State.OPEN, by=operator.pk, reason="Maintenance.")
    history = reverse("admin:ai_breakerchange_changelist")
    shown = text(browser, f"{history}?deployment__id__exact={deployment.pk}")
    assert "Maintenance." in shown
    assert "5 failures in a row" not in shown
    assert "ada@example.com" in shown
    shown = text(browser, f"{history}?by__isempty=1")
    assert "5 failures in a row" in shown
    assert "Maintenance." not in shown


def test_a_history_without_rows_says_how_they_come(browser: Client) -> None:
    assert "leaves a row" in text(browser, reverse("admin:ai_breakerchange_changelist"))


def test_a_deployment_may_be_removed_with_its_history(browser: Client, deployment: Deployment) -> None:
    call(deployment, Result.FAILURE, times=5)
    browser.post(page("delete", deployment.pk), {"post": "yes"})
    with system_transaction():
        assert not Deployment.objects.filter(pk=deployment.pk).exists()
        assert not BreakerChange.objects.exists()


@pytest.mark.parametrize("in_the_list", [False, True])
def test_the_breaker_of_a_deployment_that_is_removed_is_forgotten_though_it_is_held(
    browser: Client, deployment: Deployment, django_capture_on_commit_callbacks: Any, in_the_list: bool
) -> None:
    force_breaker(deployment=deployment, state=State.OPEN, by=uuid7(), reason="")
    other = factories.deployment()
    force_breaker(deployment=other, state=State.OPEN, by=uuid7(), reason="")
    keys = [f"{PREFIX}:{each.pk}" for each in (deployment, other)]

    with django_capture_on_commit_callbacks(execute=True):
        if in_the_list:
            data = {"action": "delete_selected", "_selected_action": [str(deployment.pk)], "post": "yes"}
            browser.post(page("changelist"), data)
        else:
            browser.post(page("delete", deployment.pk), {"post": "yes"})

    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        assert [client.exists(key) for key in keys] == [0, 1]
        assert client.ttl(keys[1]) == -1


def test_a_deployment_is_removed_though_redis_is_away(
    browser: Client,
    deployment: Deployment,
    django_capture_on_commit_callbacks: Any,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    with django_capture_on_commit_callbacks(execute=True):
        browser.post(page("delete", deployment.pk), {"post": "yes"})
    with system_transaction():
        assert not Deployment.objects.exists()
    assert "breaker.not_forgotten" in caplog.text
