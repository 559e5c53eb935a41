"""The breakers as one question sees them, while it lasts."""

from datetime import timedelta

import pytest

from apps.ai.matrix import Counts
from apps.ai.models import Deployment
from apps.ai.routing import Candidate
from apps.ai.services import watch
from apps.ai.services.configuration import current
from apps.ai.services.watch import Watch
from tests import factories
from tests.ai import breakers

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
