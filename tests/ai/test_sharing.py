"""Answers that are shared: from the cache, in flight, and what there is when nobody answers."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from apps.ai.deadlines import CRITICAL, OPTIONAL
from apps.ai.flights import ttl
from apps.ai.flights.ttl import Ttl
from apps.ai.models import (
    Deployment,
    Generation,
    GenerationState,
    ModelClass,
    PromptTemplate,
    Provider,
    Source,
)
from apps.ai.services import configuration
from apps.ai.services.generations import make_question
from apps.costs.models import BudgetScope, Hold, HoldState, LedgerEntry
from apps.costs.services.budgets import create_budget
from apps.flags.services import set_override
from apps.notifications.models import Alert
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai.asking import answer, calls_of, caption, read
from tests.conftest import Sandbox
from tests.costs.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

NOWHERE = "redis://127.0.0.1:1/"
ALL_DOWN = [{"error_rates": {"503": 1}}]


def ledger(tenant: Tenant) -> list[LedgerEntry]:
    with tenant_transaction(tenant):
        return list(LedgerEntry.objects.order_by("id"))


@pytest.fixture
def stale_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached captions are never fresh, and kept for an hour."""
    monkeypatch.setitem(ttl.TTLS, "caption", Ttl(timedelta(), timedelta(hours=1)))


@pytest.fixture
def fallback() -> Any:
    with system_transaction():
        PromptTemplate.objects.filter(key="assistant_caption").update(fallback="Soon: {{ input }}")
    yield
    with system_transaction():
        PromptTemplate.objects.filter(key="assistant_caption").update(fallback="")


def test_the_same_question_again_is_answered_from_the_cache_and_costs_nothing(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    before = calls_of(ai_sandbox)
    first_question, second_question = caption(agency), caption(agency)
    first, second = answer(first_question), answer(second_question)

    assert calls_of(ai_sandbox) == before + 1
    assert (first.source, second.source) == (Source.PROVIDER, Source.CACHE)
    row = read(agency, second_question.id)
    assert (row.text, row.model, row.attempts) == (first.text, first.model, 0)
    assert row.cost == 0
    assert row.joined_id == first_question.id
    assert row.age is not None
    assert row.explain[0]["answered_by"] == str(first_question.id)
    assert len(ledger(agency)) == 1


def test_another_tenants_same_question_is_asked_and_paid_for(
    agency: Tenant, stranger: Tenant, ai_sandbox: Sandbox
) -> None:
    before = calls_of(ai_sandbox)

    endings = [answer(caption(tenant)) for tenant in (agency, stranger)]

    assert [each.source for each in endings] == [Source.PROVIDER] * 2
    assert calls_of(ai_sandbox) == before + 2


def test_who_wants_a_fresh_answer_gets_one_and_others_get_that(agency: Tenant, ai_sandbox: Sandbox) -> None:
    answer(caption(agency))
    before = calls_of(ai_sandbox)

    fresh = answer(caption(agency, fresh=True))
    later_question = caption(agency)
    later = answer(later_question)

    assert (fresh.source, later.source) == (Source.PROVIDER, Source.CACHE)
    assert calls_of(ai_sandbox) == before + 1


def test_another_version_of_the_prompt_makes_another_question(agency: Tenant, ai_sandbox: Sandbox) -> None:
    answer(caption(agency))
    with system_transaction():
        old = PromptTemplate.objects.get(key="assistant_caption", is_active=True)
        PromptTemplate.objects.filter(pk=old.pk).update(is_active=False)
        new = PromptTemplate.objects.create(
            key=old.key, version=99, task_kind=old.task_kind, body=old.body, max_tokens=300, is_active=True
        )
    try:
        assert answer(caption(agency)).source == Source.PROVIDER
    finally:
        with system_transaction():
            Generation.objects.all().delete()
            new.delete()
            PromptTemplate.objects.filter(pk=old.pk).update(is_active=True)


def test_identical_questions_at_once_are_one_call(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"latency": {"distribution": "constant", "ms": 1500}}])
    before = calls_of(ai_sandbox)
    questions = [caption(agency) for _ in range(8)]

    endings = at_once(8, lambda index: answer(questions[index]))

    assert calls_of(ai_sandbox) == before + 1
    assert len({each.text for each in endings}) == 1
    leaders = [each.id for each in questions if read(agency, each.id).joined_id is None]
    assert len(leaders) == 1
    assert {read(agency, each.id).joined_id for each in questions} == {None, leaders[0]}
    (entry,) = ledger(agency)
    assert entry.generation_id == leaders[0]


def test_an_error_of_the_question_itself_is_everybodys(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"content_filter": 1, "latency": {"distribution": "constant", "ms": 1000}}])
    before = calls_of(ai_sandbox)
    questions = [caption(agency) for _ in range(6)]

    endings = at_once(6, lambda index: answer(questions[index]))

    assert {each.error_code for each in endings} == {"content_filtered"}
    assert calls_of(ai_sandbox) == before + 2  # one at each provider


def test_a_leader_without_money_costs_those_who_join_nothing_but_its_turn(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    """Two users ask the same; the one who leads has spent its budget."""
    ai_sandbox.faults(rules=[{"latency": {"distribution": "constant", "ms": 500}}])
    poor = caption(agency, user_id=agency.pk)
    create_budget(
        tenant_id=agency.pk,
        limit=Decimal("0.0000001"),
        now=timezone.now(),
        scope=BudgetScope.USER,
        scope_id=agency.pk,
    )

    endings = at_once(4, lambda index: answer(poor if index == 0 else caption(agency)))

    states = [each.state for each in endings]
    assert states[1:] == [GenerationState.SUCCEEDED] * 3
    assert endings[0].state == GenerationState.SUCCEEDED or endings[0].error_code == "budget_exhausted"


def test_optional_work_takes_an_old_answer_and_says_how_old(
    agency: Tenant, ai_sandbox: Sandbox, stale_at_once: None
) -> None:
    first = answer(caption(agency))
    ai_sandbox.faults(rules=ALL_DOWN)
    question = caption(agency)

    ending = answer(question, deadlines=OPTIONAL)

    assert (ending.source, ending.text) == (Source.STALE, first.text)
    row = read(agency, question.id)
    assert row.source == Source.STALE
    assert row.age is not None
    assert next(each["outcome"] for each in row.explain if "attempt" in each) == "server_error"


def test_without_an_old_answer_optional_work_takes_the_prompts_own_words(
    agency: Tenant, ai_sandbox: Sandbox, fallback: None
) -> None:
    ai_sandbox.faults(rules=ALL_DOWN)

    ending = answer(caption(agency, "a lake"), deadlines=OPTIONAL)

    assert (ending.source, ending.text) == (Source.TEMPLATE, "Soon: a lake")


def test_critical_work_gets_the_error(agency: Tenant, ai_sandbox: Sandbox, fallback: None) -> None:
    ai_sandbox.faults(rules=ALL_DOWN)

    ending = answer(caption(agency), deadlines=CRITICAL)

    assert (ending.state, ending.error_code) == (GenerationState.FAILED, "server_error")


def test_without_redis_questions_are_answered_and_it_is_said_once(
    agency: Tenant, ai_sandbox: Sandbox, settings: Any
) -> None:
    settings.REDIS_URL = settings.CACHE_REDIS_URL = f"{NOWHERE}{agency.pk.int % 1000}"
    before = calls_of(ai_sandbox)

    with capture_logs() as logs:
        endings = [answer(caption(agency)) for _ in range(3)]

    assert [each.source for each in endings] == [Source.PROVIDER] * 3
    assert calls_of(ai_sandbox) == before + 3
    assert [each["event"] for each in logs if each["event"].startswith("redis.")] == ["redis.away"]


def test_without_redis_a_breaker_opens_for_the_process(
    agency: Tenant, ai_sandbox: Sandbox, settings: Any
) -> None:
    settings.REDIS_URL = settings.CACHE_REDIS_URL = f"{NOWHERE}{agency.pk.int % 1000}"
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"503": 1}}])
    for _ in range(3):
        assert answer(caption(agency)).state == GenerationState.SUCCEEDED

    last = answer(caption(agency))

    assert [each["outcome"] for each in last.explain if "attempt" in each] == ["answered"]
    assert any("breaker open" in str(each.get("passed_over")) for each in last.explain)


def test_once_a_breaker_is_open_no_attempt_goes_there(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"503": 1}}])
    for number in range(3):
        answer(caption(agency, f"Lake {number}."))
    before = calls_of(ai_sandbox)

    ending = answer(caption(agency, "One more."))

    assert calls_of(ai_sandbox) == before + 1
    assert ending.attempts == 1
    with tenant_transaction(agency):
        assert not Hold.objects.filter(state=HoldState.HELD).exists()


def test_with_all_breakers_open_it_says_when_to_come_again(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=ALL_DOWN)
    for number in range(3):
        answer(caption(agency, f"Lake {number}."))

    ending = answer(caption(agency, "One more."))

    assert (ending.state, ending.error_code, ending.attempts) == (GenerationState.FAILED, "circuit_open", 0)


def test_a_refused_key_disables_the_deployment_and_alerts(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"401": 1}}])

    first, second = answer(caption(agency, "One.")), answer(caption(agency, "Two."))

    assert [each["outcome"] for each in first.explain if "attempt" in each] == ["auth", "answered"]
    assert [each["outcome"] for each in second.explain if "attempt" in each] == ["answered"]
    with system_transaction():
        openai = Deployment.objects.get(name="openai")
        alert = Alert.objects.get()
    assert (openai.enabled, alert.rule, alert.tenant_id) == (False, "deployment_disabled", agency.pk)
    assert "key" in openai.disabled_reason


def test_what_one_place_forbids_disables_nothing(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"403": 1}}])

    ending = answer(caption(agency))

    assert [each["outcome"] for each in ending.explain if "attempt" in each] == ["forbidden", "answered"]
    with system_transaction():
        assert Deployment.objects.get(name="openai").enabled


def test_a_deployment_that_does_not_exist_makes_no_outage_the_questions_fault(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(
        rules=[
            {"provider": "openai", "error_rates": {"503": 1}},
            {"provider": "azure", "error_rates": {"404": 1}},
        ]
    )

    ending = answer(caption(agency))

    assert [each["outcome"] for each in ending.explain if "attempt" in each][-1] == "bad_request"
    assert ending.error_code == "server_error"


def test_with_the_flag_off_one_provider_answers(agency: Tenant, ai_sandbox: Sandbox) -> None:
    with tenant_transaction(agency):
        set_override(name="hybrid_orchestrator", tenant_id=agency.pk, enabled=False)
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"503": 1}}])

    ending = answer(caption(agency))

    assert ending.state == GenerationState.FAILED
    assert {"deployment": "azure", "passed_over": "hybrid_orchestrator is off"} in ending.explain


def test_a_text_becomes_a_vector(agency: Tenant, ai_sandbox: Sandbox) -> None:
    with system_transaction():
        Deployment.objects.create(
            name="vectors",
            provider=Provider.OPENAI,
            model="text-embedding-3-small",
            model_class=ModelClass.EMBEDDING,
        )
    question = make_question(
        tenant_id=agency.pk, prompt_key="embedding", variables={"input": "A lake."}, now=timezone.now()
    )

    ending = answer(question)

    assert (ending.state, ending.error) == (GenerationState.SUCCEEDED, "")
    (vector,) = ending.data
    assert len(vector) == 1536
    (entry,) = ledger(agency)
    assert (entry.model, entry.output_tokens) == ("text-embedding-3-small", 0)
    assert (
        answer(
            make_question(
                tenant_id=agency.pk,
                prompt_key="embedding",
                variables={"input": "A lake."},
                now=timezone.now(),
            )
        ).source
        == Source.CACHE
    )


def test_the_configuration_is_read_once_a_second(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(configuration, "FRESH", timedelta(minutes=1))
    configuration.current()

    with django_assert_num_queries(0):
        configuration.current()
