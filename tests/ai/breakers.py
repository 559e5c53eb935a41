"""Deployments' breakers in a state of a test's choice."""

import os
from datetime import timedelta
from uuid import UUID

import redis

from apps.ai.models import Deployment
from apps.ai.services.breakers import PREFIX, breakers
from apps.common.breaker.rules import Admission, Report, Result, Settings

_LEASE = timedelta(minutes=1)


def fail(deployment: Deployment) -> None:
    """Open its breaker by failures in a row."""
    for _ in range(Settings().opens_after):
        breakers().record(_admission(deployment.pk), Report(Result.FAILURE))


def cool_down(deployment: Deployment, seconds: float) -> None:
    """Have its provider ask for a pause."""
    report = Report(Result.NEUTRAL, cool_down=timedelta(seconds=seconds))
    breakers().record(_admission(deployment.pk), report)


def probe(deployment: Deployment) -> Admission:
    """Become the probe of a breaker whose recovery is over, so that it is half-open."""
    (status,) = breakers().statuses_of([str(deployment.pk)]).values()
    admission = breakers().admit(status, lease=_LEASE).admission
    assert admission is not None
    assert admission.probe
    return admission


def forget() -> None:
    """All breakers are as at first: closed, without a cool-down."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        for key in client.scan_iter(f"{PREFIX}:*"):
            client.delete(key)


def _admission(deployment_id: UUID) -> Admission:
    (status,) = breakers().statuses_of([str(deployment_id)]).values()
    return Admission(status.name, status.epoch)
