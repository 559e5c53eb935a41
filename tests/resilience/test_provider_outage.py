"""One provider is dead for minutes: the other one answers in its place, and the books are right.

It is dead in three ways, side by side: it answers 503, it hangs, it refuses connections.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.ai.deadlines import BACKGROUND, CRITICAL
from apps.ai.models import Deployment, Generation, GenerationState, Source
from apps.common.breaker.rules import Settings, State
from apps.common.ids import first_id_of
from apps.costs.models import Hold, HoldState
from apps.costs.services.budgets import create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import Sandbox
from tests.costs.spending import counters, entries
from tests.resilience.outage import Outage, Span, outage

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("deployments"),
    pytest.mark.long,
]

WAYS = ("down", "hanging", "refusing")
# The first of as many databases of the Redis of this run, which nobody else uses.
DATABASE = 5


def happen(azure: Sandbox, span: Span, **environment: str) -> list[Outage]:
    """The outages, one of each way, all at once."""
    with system_transaction():
        deployment = str(Deployment.objects.get(name="openai").pk)
    with ExitStack() as stack, ThreadPoolExecutor(len(WAYS)) as pool:
        outages = []
        for number, way in enumerate(WAYS):
            tenant = factories.tenant(name=f"Agency of {way}")
            create_budget(tenant_id=tenant.pk, limit=Decimal(100), now=timezone.now())
            made = outage(
                way,
                tenant=tenant,
                deployment=deployment,
                azure=azure,
                redis_url=os.environ["REDIS_URL"].replace("db=1", f"db={DATABASE + number}"),
                recovery=span.recovery,
                environment=environment,
            )
            outages.append(stack.enter_context(made))
        for each in [pool.submit(each.happen, span) for each in outages]:
            each.result()
    return outages


def questions_of(tenant: Tenant) -> list[Generation]:
    with tenant_transaction(tenant):
        return list(Generation.objects.select_related("deployment").order_by("created_at"))


def attempts_at_openai(tenant: Tenant) -> list[Hold]:
    with tenant_transaction(tenant):
        return list(Hold.objects.filter(provider="openai"))


def check_nobody_noticed(outage: Outage) -> None:
    """Every question was answered by a provider, within its caller's deadline."""
    questions = questions_of(outage.tenant)
    assert {str(each.pk) for each in questions} == {*outage.seconds["web"], *outage.seconds["worker"]}
    assert {(each.state, each.source, each.error) for each in questions} == {
        (GenerationState.SUCCEEDED, Source.PROVIDER, "")
    }
    assert max(outage.seconds["web"].values()) < CRITICAL.total.total_seconds()
    assert max(outage.seconds["worker"].values()) < BACKGROUND.total.total_seconds()


def check_money(outage: Outage) -> None:
    """The budget has spent what the ledger says. Only an attempt that may have been billed cost anything."""
    paid = entries(outage.tenant)
    spent = sum((each.amount for each in paid), Decimal(0))
    assert counters(outage.tenant) == [(spent, Decimal(0))]
    with tenant_transaction(outage.tenant):
        settled = set(Hold.objects.filter(state=HoldState.SETTLED).values_list("generation_id", "attempt"))
        assert not Hold.objects.filter(state=HoldState.HELD).exists()
    assert {(each.generation_id, each.attempt) for each in paid} == settled
    answered = [each for each in paid if not each.estimated]
    assert len(answered) == len(questions_of(outage.tenant))
    if outage.way != "hanging":
        # What was under way when the process died may have been billed.
        assert [each for each in paid if each.estimated and each.occurred_at > outage.died_at] == []


def check_attempts(outage: Outage) -> None:
    """The dead one was asked until its breaker opened, and then by a probe for each recovery."""
    opened_at = outage.changes_to(State.OPEN)[0]
    failed_probes = len(outage.changes_to(State.OPEN)) - 1
    attempts = attempts_at_openai(outage.tenant)
    # A probe may be the retry of a question that was asked before the breaker opened.
    made = [each for each in attempts if first_id_of(opened_at) < each.pk < first_id_of(outage.recovered_at)]
    assert failed_probes <= len(made)
    # And one that was asked before the recovery may have probed after it.
    later = [each for each in attempts if opened_at < each.occurred_at < outage.recovered_at]
    assert len(later) <= failed_probes + 1
    of_a_question: dict[object, int] = {}
    for each in attempts:
        of_a_question[each.generation_id] = of_a_question.get(each.generation_id, 0) + 1
    assert max(of_a_question.values()) <= 2, "it was asked again after a first retry"


def check_recovery(outage: Outage) -> None:
    """Probes closed the breaker, and who is asked first is the preferred one again."""
    closed_at = outage.changes_to(State.CLOSED)[-1]
    assert outage.changes[-1] == (closed_at, State.CLOSED)
    assert closed_at > outage.recovered_at
    later = [each for each in questions_of(outage.tenant) if each.created_at > closed_at]
    assert len(later) >= 10
    assert {(each.deployment and each.deployment.name, each.attempts) for each in later} == {("openai", 1)}


def check(outages: list[Outage], span: Span) -> None:
    for each in outages:
        assert len(each.changes_to(State.OPEN)) > span.probes
        check_nobody_noticed(each)
        check_money(each)
        check_attempts(each)
        check_recovery(each)


def test_while_a_provider_is_dead_the_other_one_answers(ai_sandbox: Sandbox) -> None:
    span = Span(seconds=0, probes=2, recovery=timedelta(seconds=1))
    check(happen(ai_sandbox, span, HUNTAZE_AI_ATTEMPT_TIMEOUT="4"), span)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_while_a_provider_is_dead_for_five_minutes_the_other_one_answers(ai_sandbox: Sandbox) -> None:
    """Recoveries of 60, 120 and 240 s: it is back after 300 s, and asked again after 420."""
    span = Span(seconds=300, probes=2, recovery=Settings().recovery)
    check(happen(ai_sandbox, span), span)
