"""Analyses: what is read, what becomes of recommendations, and what is left when a process dies."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.models import (
    Analysis,
    AnalysisState,
    Generation,
    GenerationState,
    Recommendation,
    Source,
    Status,
    TaskPreference,
)
from apps.ai.optimisation.findings import Confidence, Finding
from apps.ai.queries import savings
from apps.ai.services import analyses
from apps.ai.services.analyses import (
    LEASE,
    MOST_ATTEMPTS,
    QUIET,
    keep_findings,
    plan_analyses,
    request_analysis,
    run_analysis,
    waiting_analyses,
)
from apps.ai.services.recommendations import apply_recommendation, dismiss_recommendation
from apps.ai.services.usage import read_facts
from apps.costs.models import LedgerEntry
from apps.costs.pricing import Usage
from apps.flags.models import Flag, FlagOverride
from apps.operations.models import JobRun
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tasks.ai import measure_recommendations
from tasks.ai import plan_analyses as plan_task
from tests.ai.asking import answer, caption
from tests.ai.optimising import (
    HOUR,
    again,
    corrected,
    deployment,
    longer,
    many,
    past,
    recommendation,
    repaired,
)
from tests.conftest import Sandbox
from tests.costs.spending import dollar_price
from tests.costs.threads import at_once
from tests.killing import KilledError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

DAY = timedelta(days=1)


def leave(tenant: Tenant) -> Analysis:
    with tenant_transaction(tenant):
        return request_analysis(tenant_id=tenant.pk)


def analysed(tenant: Tenant, **later: Any) -> Analysis:
    """The analysis of what has been asked by now."""
    row = leave(tenant)
    run_analysis(analysis_id=row.pk, now=timezone.now() + timedelta(**later))
    with tenant_transaction(tenant):
        return Analysis.objects.get(pk=row.pk)


def found(tenant: Tenant) -> dict[str, Recommendation]:
    with tenant_transaction(tenant):
        return {row.subject: row for row in Recommendation.objects.order_by("id")}


def finding(subject: str = "caption:openai", **fields: Any) -> Finding:
    defaults: dict[str, Any] = {
        "kind": "dear_model",
        "task_kind": "caption",
        "advice": "Ask openai first.",
        "monthly_saving": Decimal("1.5"),
        "confidence": Confidence(Decimal("0.4"), ("It was seen.",)),
        "evidence": {"questions": 10},
        "change": {"deployment": str(deployment("openai").pk)},
    }
    return Finding(subject=subject, **{**defaults, **fields})


def keep(tenant: Tenant, *findings: Finding, after: timedelta = timedelta()) -> None:
    with tenant_transaction(tenant):
        keep_findings(tenant_id=tenant.pk, findings=list(findings), now=timezone.now() + after)


def test_dear_work_and_repeated_questions_are_found_among_what_was_asked(agency: Tenant) -> None:
    many(15, agency)
    start = timezone.now() - DAY
    for minutes in (0, 20, 40):
        past(agency, at=start + timedelta(minutes=minutes), variables={"input": "The same."}, cost=Decimal(1))

    row = analysed(agency)

    assert (row.state, row.generations, row.is_sample, row.attempts) == ("done", 18, False, 1)
    assert row.lease_expires_at is None
    rows = found(agency)
    assert set(rows) == {"caption:openai", "caption"}
    assert row.found == 2
    # 15 times 200 tokens in and 40 out, at 2.50 and 10 instead of 0.50 and 1.50, in a week of the month.
    assert rows["caption:openai"].monthly_saving == pytest.approx(
        Decimal(15 * (200 * 2 + 40 * Decimal("8.5"))) / 1_000_000 * 30 / 7
    )
    assert rows["caption"].change == {"fresh_s": 3600, "stale_s": 86400}


def test_an_attempt_that_was_lost_is_no_part_of_the_answer(agency: Tenant) -> None:
    """Six answers were cut off and repaired: that is no long context, and of the retries' money alone."""
    many(25, agency, output_tokens=250)
    for hours in range(6):
        at = timezone.now() - DAY - hours * HOUR
        repaired(agency, at=at, first=Usage(200, 250, 100), answer=Usage(500, 250, 50))

    analysed(agency)

    rows = found(agency)
    assert set(rows) == {"caption:openai", "azure"}
    # At 2.50 and 10 instead of 0.50 and 1.50; what is cached, at 1.25.
    answers = Decimal(25 * 200 + 6 * 450) * 2 + Decimal(6 * 50) * Decimal("0.75") + 31 * 250 * Decimal("8.5")
    lost = 6 * (100 * Decimal("2.5") + 100 * Decimal("1.25") + 250 * 10)
    in_a_month = Decimal(30) / 7 / 1_000_000
    assert rows["caption:openai"].monthly_saving == pytest.approx(answers * in_a_month)
    assert rows["azure"].monthly_saving == pytest.approx(lost / 2 * in_a_month)
    with tenant_transaction(agency):
        total = savings(tenant_id=agency.pk).expected_monthly_saving.amount
    assert total == pytest.approx((answers + lost / 2) * in_a_month)


def test_what_an_answer_has_used_is_by_its_row_where_its_entries_are_gone(agency: Tenant) -> None:
    past(agency, attempts=2, input_tokens=700, cached_tokens=150, output_tokens=500)

    with tenant_transaction(agency):
        (each,) = read_facts(tenant_id=agency.pk, now=timezone.now()).asked

    assert each.usage == Usage(700, 500, 150)


def test_no_more_than_the_newest_are_read_and_it_says_so(agency: Tenant, settings: Any) -> None:
    settings.OPTIMISATION_GENERATIONS = 12
    many(15, agency)
    newest = past(agency, at=timezone.now() - timedelta(minutes=1))

    row = analysed(agency)
    with tenant_transaction(agency):
        facts = read_facts(tenant_id=agency.pk, now=timezone.now())

    assert (row.generations, row.is_sample) == (12, True)
    assert facts.asked[-1].id == newest.pk
    assert [each.at for each in facts.asked] == sorted(each.at for each in facts.asked)


def test_neither_others_nor_older_nor_unfinished_questions_nor_replays_are_looked_at(
    agency: Tenant, stranger: Tenant
) -> None:
    many(3, stranger)
    past(agency, at=timezone.now() - timedelta(days=31))
    past(agency, state=GenerationState.PENDING, finished_at=None, source="")
    past(agency, task_kind="replay")
    mine = past(agency)

    with tenant_transaction(agency):
        facts = read_facts(tenant_id=agency.pk, now=timezone.now())

    assert [each.id for each in facts.asked] == [mine.pk]


def test_what_was_asked_the_same_is_the_same_and_what_was_not_paid_is_not(agency: Tenant) -> None:
    same = {"input": "A lake.", "variables": {"a": 1, "b": "ü"}}
    past(agency, at=timezone.now() - 4 * HOUR, variables=same)
    past(
        agency, at=timezone.now() - 3 * HOUR, variables={"variables": {"b": "ü", "a": 1}, "input": "A lake."}
    )
    past(agency, at=timezone.now() - 2 * HOUR, variables=same, max_tokens=99, source=Source.CACHE)
    past(agency, at=timezone.now() - HOUR, variables={**same, "input": "A lake"})

    with tenant_transaction(agency):
        first, second, third, fourth = read_facts(tenant_id=agency.pk, now=timezone.now()).asked

    assert first.question == second.question
    assert len({first.question, third.question, fourth.question}) == 3
    assert [each.paid for each in (first, second, third, fourth)] == [True, True, False, True]


def test_attempts_that_came_to_nothing_are_read_with_what_the_ledger_says_they_cost(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"503": 1}, "count": 1}])
    asked = answer(caption(agency))
    assert asked.attempts == 2

    with tenant_transaction(agency):
        facts = read_facts(tenant_id=agency.pk, now=timezone.now())
        first = LedgerEntry.objects.filter(attempt=1).first()

    (lost,) = facts.lost
    assert (lost.deployment, lost.outcome) == ("openai", "server_error")
    assert lost.cost == (first.amount if first else 0)


def test_questions_are_read_with_what_the_ledger_says_they_cost(agency: Tenant) -> None:
    dollar_price()
    row = past(agency, cost=Decimal(10))
    corrected(row, agency, bound=10, used=4)
    past(agency, at=timezone.now() + HOUR, cost=Decimal(2))  # whose entries are gone

    with tenant_transaction(agency):
        facts = read_facts(tenant_id=agency.pk, now=timezone.now())

    assert [each.cost for each in facts.asked] == [Decimal(4), Decimal(2)]


def test_attempts_are_read_of_all_questions_that_are_looked_at_and_of_no_others(
    agency: Tenant, settings: Any
) -> None:
    """A deployment's share of lost attempts is of as many questions as were answered or failed."""
    settings.OPTIMISATION_GENERATIONS = 2_050
    said = [{"attempt": 1, "deployment": "openai", "outcome": "timeout"}]
    failed = {"state": GenerationState.FAILED, "source": "", "text": "", "explain": said}
    past(agency, at=timezone.now() - DAY, **failed)
    of_prompt = past(agency, at=timezone.now() - HOUR, **failed)
    now = timezone.now()
    fields = {"tenant_id": agency.pk, "created_at": now, "finished_at": now, "attempts": 1, **failed}
    fields |= {"task_kind": "caption", "prompt": of_prompt.prompt, "max_tokens": 100}
    with tenant_transaction(agency):
        Generation.objects.bulk_create(Generation(**fields) for _ in range(2_049))
        facts = read_facts(tenant_id=agency.pk, now=timezone.now())

    assert (len(facts.asked), facts.is_sample) == (2_050, True)
    assert sorted(each.generation_id for each in facts.lost) == [each.id for each in facts.asked]


def test_a_tenant_without_questions_is_analysed_to_nothing(agency: Tenant) -> None:
    row = analysed(agency)
    assert (row.state, row.generations, row.since, row.found) == ("done", 0, None, 0)


def test_a_tenant_without_the_hybrid_orchestrator_is_not_moved(agency: Tenant) -> None:
    many(15, agency)
    with system_transaction():
        flag, _ = Flag.objects.get_or_create(name="hybrid_orchestrator")
        FlagOverride.objects.create(flag=flag, tenant_id=agency.pk, enabled=False)

    assert analysed(agency).found == 0


# --- what becomes of recommendations


def test_an_open_one_is_refreshed_and_one_that_no_longer_holds_is_obsolete(agency: Tenant) -> None:
    keep(agency, finding(), finding("caption:other"))
    keep(agency, finding(monthly_saving=Decimal(2)), after=DAY)

    rows = found(agency)

    assert (rows["caption:openai"].status, rows["caption:openai"].monthly_saving) == (Status.OPEN, Decimal(2))
    assert rows["caption:other"].status == Status.OBSOLETE


def test_an_obsolete_one_that_holds_again_is_open_again(agency: Tenant) -> None:
    keep(agency, finding())
    keep(agency)
    keep(agency, finding())

    (row,) = found(agency).values()

    assert (row.status, row.remark) == (Status.OPEN, "")


def test_a_dismissed_one_does_not_come_back_for_30_days(agency: Tenant) -> None:
    keep(agency, finding())
    (row,) = found(agency).values()
    dismiss_recommendation(recommendation_id=row.pk, tenant_id=agency.pk, by="Ada", now=timezone.now())

    keep(agency, finding(), after=QUIET - HOUR)
    early = len(found(agency)), again(row).status
    keep(agency, finding(), after=QUIET + HOUR)

    assert early == (1, Status.DISMISSED)
    assert found(agency)["caption:openai"].status == Status.OPEN
    assert again(row).status == Status.DISMISSED


@pytest.mark.parametrize("status", [Status.VERIFYING, Status.VERIFIED, Status.REJECTED, Status.APPLIED])
def test_what_is_under_way_is_not_repeated(agency: Tenant, status: Status) -> None:
    applied = {"applied_at": timezone.now(), "before": {"deployment": None}, "after": {"deployment": "x"}}
    row = recommendation(
        agency,
        status=status,
        quiet_until=timezone.now() + QUIET if status == Status.REJECTED else None,
        evidence={"replay": {"score": "0.9"}},
        confidence=Decimal("0.8"),
        **(applied if status == Status.APPLIED else {}),
    )

    keep(agency, finding(monthly_saving=Decimal(7)))

    (now,) = found(agency).values()
    assert (now.pk, now.status, now.confidence) == (row.pk, status, Decimal("0.8"))
    assert now.evidence["replay"] == {"score": "0.9"}
    # The price of a verified one may have changed; what was judged has not.
    assert now.monthly_saving == (7 if status == Status.VERIFIED else Decimal("1.5"))


def test_an_applied_one_that_is_found_no_more_stays_applied(agency: Tenant) -> None:
    row = longer(agency)
    apply_recommendation(recommendation_id=row.pk, tenant_id=agency.pk, by="Ada", now=timezone.now())
    analysed(agency)
    assert again(row).status == Status.APPLIED


def test_what_is_set_already_is_not_recommended(agency: Tenant) -> None:
    many(15, agency)
    with tenant_transaction(agency):
        TaskPreference.objects.create(
            tenant_id=agency.pk, task_kind="caption", deployment=deployment("openai")
        )
    assert analysed(agency).found == 0


# --- twice, at once, and killed


def test_asked_for_twice_it_is_one(agency: Tenant, stranger: Tenant) -> None:
    assert leave(agency).pk == leave(agency).pk != leave(stranger).pk


def test_asked_for_by_many_at_once_it_is_one(agency: Tenant) -> None:
    ids = at_once(8, lambda _: leave(agency).pk)
    assert len(set(ids)) == 1


def test_many_workers_do_each_once(agency: Tenant, stranger: Tenant) -> None:
    for tenant in (agency, stranger):
        many(12, tenant)
        leave(tenant)

    ids = waiting_analyses(now=timezone.now())
    done = at_once(6, lambda number: run_analysis(analysis_id=ids[number % 2], now=timezone.now()))

    assert len(ids) == len([each for each in done if each]) == 2
    assert waiting_analyses(now=timezone.now()) == []
    assert len(found(agency)) == len(found(stranger)) == 1


def test_a_process_that_is_killed_over_it_leaves_it_to_the_next_one(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(12, agency)
    row, now = leave(agency), timezone.now()

    def die(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(analyses, "keep_findings", die)
        with pytest.raises(KilledError):
            run_analysis(analysis_id=row.pk, now=now)
    assert found(agency) == {}
    assert run_analysis(analysis_id=row.pk, now=now + LEASE / 2) is None
    assert waiting_analyses(now=now + LEASE / 2) == []

    assert waiting_analyses(now=now + LEASE) == [row.pk]
    assert run_analysis(analysis_id=row.pk, now=now + LEASE) is not None

    with tenant_transaction(agency):
        again_ = Analysis.objects.get(pk=row.pk)
    assert (again_.state, again_.attempts) == (AnalysisState.DONE, 2)
    assert len(found(agency)) == 1


def test_who_comes_back_late_changes_nothing_any_more(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(12, agency)
    left = leave(agency)
    now, read = timezone.now(), read_facts

    def be_overtaken(**given: Any) -> Any:
        monkeypatch.setattr(analyses, "read_facts", read)
        run_analysis(analysis_id=left.pk, now=now + LEASE)
        keep(agency)
        return read(**given)

    monkeypatch.setattr(analyses, "read_facts", be_overtaken)
    run_analysis(analysis_id=left.pk, now=now)

    (row,) = found(agency).values()
    assert row.status == Status.OBSOLETE


def test_one_that_kills_whoever_works_on_it_is_given_up(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(analyses, "read_facts", fail)
    row, now = leave(agency), timezone.now()
    for attempt in range(MOST_ATTEMPTS):
        with pytest.raises(MemoryError):
            run_analysis(analysis_id=row.pk, now=now + attempt * LEASE)

    run_analysis(analysis_id=row.pk, now=now + MOST_ATTEMPTS * LEASE)

    with tenant_transaction(agency):
        ended = Analysis.objects.get(pk=row.pk)
    assert ended.state == AnalysisState.FAILED
    assert "died or failed" in ended.error
    assert leave(agency).pk != row.pk


def test_each_night_those_who_ask_are_analysed_and_no_others(agency: Tenant, stranger: Tenant) -> None:
    past(agency)
    past(stranger, at=timezone.now() - timedelta(days=40))

    assert plan_analyses(now=timezone.now()) == 1
    assert plan_analyses(now=timezone.now()) == 1

    with system_transaction():
        assert [row.tenant_id for row in Analysis.objects.all()] == [agency.pk]


def test_the_nightly_jobs_run_once_a_day(agency: Tenant) -> None:
    past(agency)
    for _ in range(2):
        plan_task(period="2026-03-01T00:00:00+00:00")
        measure_recommendations(period="2026-03-01T00:00:00+00:00")

    with system_transaction():
        jobs = JobRun.objects.filter(job__startswith="tasks.ai.").order_by("job")
        assert [(row.job, row.state, row.attempts) for row in jobs] == [
            ("tasks.ai.measure_recommendations", "done", 1),
            ("tasks.ai.plan_analyses", "done", 1),
        ]
        assert Analysis.objects.count() == 1


def test_a_tenant_sees_no_analysis_of_another(agency: Tenant, stranger: Tenant) -> None:
    keep(stranger, finding())
    leave(stranger)
    with tenant_transaction(agency):
        assert not Analysis.objects.exists()
        assert not Recommendation.objects.exists()


def test_one_that_is_tried_again_is_not_made_anew_beside_a_later_one_that_had_gone(agency: Tenant) -> None:
    keep(agency, finding())
    (first,) = found(agency).values()
    with tenant_transaction(agency):
        Recommendation.objects.update(status=Status.REJECTED, quiet_until=timezone.now())
    keep(agency, finding(), after=HOUR)
    keep(agency, after=2 * HOUR)
    with tenant_transaction(agency):
        Recommendation.objects.filter(pk=first.pk).update(status=Status.VERIFYING)

    keep(agency, finding(), after=3 * HOUR)

    with tenant_transaction(agency):
        statuses = list(Recommendation.objects.order_by("id").values_list("status", flat=True))
    assert statuses == [Status.VERIFYING, Status.OBSOLETE]


def test_what_was_verified_of_one_deployment_is_not_of_another_of_the_same_name(agency: Tenant) -> None:
    row = recommendation(agency, status=Status.VERIFIED, evidence={"replay": {"score": "0.9"}})

    keep(agency, finding(change={"deployment": str(deployment("azure").pk)}))

    now = again(row)
    assert (now.status, now.verified_at) == (Status.OPEN, None)
    assert "replay" not in now.evidence
