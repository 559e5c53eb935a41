"""The breakers as one question sees them, while it lasts."""

from datetime import timedelta
from typing import Any

import pytest

from apps.ai.matrix import Counts
from apps.ai.models import Deployment
from apps.ai.routing import Candidate
from apps.ai.services import watch
from apps.ai.services.breakers import breaker_statuses
from apps.ai.services.configuration import current
from apps.ai.services.watch import Watch
from apps.common.shared_redis import RedisAwayError, SharedRedis
from tests import factories
from tests.ai import breakers
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

LEASE = timedelta(minutes=1)


@pytest.fixture
def deployments(db: None) -> list[Deployment]:
    return [factories.deployment(name="one"), factories.deployment(name="other")]


def candidate(deployment: Deployment) -> Candidate:
    return next(each for each in current().deployments if each.id == deployment.pk)


@pytest.fixture
def seen(deployments: list[Deployment]) -> Watch:
    return Watch.asking(map(candidate, deployments))


def test_what_is_told_of_one_brings_news_of_all(seen: Watch, deployments: list[Deployment]) -> None:
    one, other = deployments
    admission = seen.admit(candidate(one), lease=LEASE)
    assert admission is not None
    breakers.fail(other)

    seen.record(admission, Counts.FAILURE)

    assert seen.obstacles()[one.pk] is None
    assert str(seen.obstacles()[other.pk]).startswith("breaker open")


def test_after_a_wait_the_breakers_are_read_again(
    seen: Watch, deployments: list[Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = deployments
    breakers.fail(one)
    assert seen.admit(candidate(one), lease=LEASE) is not None, "it was read a moment ago"
    monkeypatch.setattr(watch, "FRESH", timedelta())

    assert seen.admit(candidate(one), lease=LEASE) is None


def test_nobody_is_passed_over_for_what_is_over_by_then(seen: Watch, deployments: list[Deployment]) -> None:
    one, other = deployments
    admission = seen.admit(candidate(one), lease=LEASE)
    assert admission is not None
    breakers.fail(other)
    seen.record(admission, Counts.FAILURE)
    assert seen.obstacles()[other.pk]
    breakers.forget()

    assert seen.admit(candidate(other), lease=LEASE) is not None


def test_the_next_question_tells_what_the_last_ones_probe_came_to(
    deployments: list[Deployment], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = deployments
    settings.BREAKER_RECOVERY = timedelta(milliseconds=1)
    breakers.fail(one)
    wait_until(
        lambda: Watch.asking([candidate(one)]).obstacles()[one.pk] is None, seconds=10, what="its time"
    )
    seen = Watch.asking([candidate(one)])
    probe = seen.admit(candidate(one), lease=LEASE)
    assert probe is not None
    assert probe.probe

    def away(*_: Any) -> Any:
        raise RedisAwayError

    with monkeypatch.context() as patch:
        patch.setattr(SharedRedis, "run", away)
        seen.record(probe, Counts.NEUTRAL)
    assert breaker_statuses([one.pk])[one.pk].excluded == "breaker half-open, its probe is under way"

    assert Watch.asking([candidate(one)]).obstacles()[one.pk] is None
