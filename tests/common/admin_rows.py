"""A few rows in every table of the admin."""

from datetime import timedelta
from decimal import Decimal

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from apps.ai.models import (
    Analysis,
    BreakerChange,
    BreakerState,
    Deployment,
    Generation,
    GenerationState,
    PromptTemplate,
    Recommendation,
    Replay,
    ReplayItem,
    RoutingPreference,
    TaskPreference,
)
from apps.analytics.models import RevenueEntry
from apps.campaigns.models import WorkflowStep
from apps.common.ids import uuid7
from apps.common.models import IdempotencyRecord
from apps.content.models import Content
from apps.costs.models import (
    Budget,
    BudgetCounter,
    ExchangeRate,
    Forecast,
    Hold,
    HoldState,
    LedgerEntry,
    UsageCorrection,
    UsageDifference,
    UsageImport,
    UsageLine,
)
from apps.flags.models import Flag, FlagOverride
from apps.messaging.models import (
    DispatchEpoch,
    DispatchWorker,
    Layer,
    MessageTemplate,
    PlatformState,
    SendBlock,
    SendLimit,
)
from apps.notifications.models import Alert, Delivery, NotificationTarget
from apps.operations.models import DeadLetter, JobRun, JobState, RequestTally
from apps.tenants.keys import create_api_key
from apps.tenants.models import Role, Tenant, User
from apps.tenants.system import system_transaction
from tests import factories


def add_rows(*, to: Tenant, by: User, number: int) -> None:
    """`number` rows, each of which points at other ones than the rest do."""
    for index in range(number):
        _messaging(to, index)
        _ai_and_costs(to, by, index)
        _operations(to, by, index)


def _messaging(tenant: Tenant, index: int) -> None:
    account = factories.account(tenant=tenant)
    fan = factories.fan(account=account)
    campaign = factories.campaign(tenant=tenant, accounts=[account], name=f"Campaign {index}")
    with system_transaction():
        template = MessageTemplate.objects.create(
            tenant_id=tenant.pk, outbox=campaign.outbox, account=account, body="Hello {{ fan.name }}"
        )
        WorkflowStep.objects.create(tenant_id=tenant.pk, campaign=campaign, name="plan", position=0)
        Content.objects.create(
            tenant_id=tenant.pk,
            kind="message",
            account=account,
            fan=fan,
            campaign_id=campaign.pk,
            state="ready",
            text="Hello",
        )
        RevenueEntry.objects.create(
            tenant_id=tenant.pk,
            external_id=f"tx-{index}",
            account=account,
            campaign=campaign,
            occurred_at=timezone.now(),
            amount=Decimal(12),
        )
    factories.message(fan=fan, outbox=campaign.outbox, template=template)
    _dispatch(tenant)


def _dispatch(tenant: Tenant) -> None:
    now, subject = timezone.now(), uuid7()
    with system_transaction():
        DispatchEpoch.objects.get_or_create(pk=1)
        DispatchWorker.objects.create(id=uuid7(), name="dispatch@here", seen_at=now, redis_since=now)
        PlatformState.objects.get_or_create(platform="onlyfans")
        SendLimit.objects.create(layer=Layer.USER, subject_id=subject, count=10, seconds=60)
        SendBlock.objects.create(layer=Layer.USER, subject_id=subject, until=now)


def _ai_and_costs(tenant: Tenant, by: User, index: int) -> None:
    now = timezone.now()
    price = factories.price(model=f"model-{tenant.pk}-{index}")
    deployment: Deployment = factories.deployment()
    with system_transaction():
        BreakerChange.objects.create(
            deployment=deployment,
            before=BreakerState.CLOSED,
            after=BreakerState.OPEN,
            reason="5 failures in a row",
            by=by.pk if index % 2 else None,
        )
        RoutingPreference.objects.get_or_create(tenant_id=tenant.pk)
        TaskPreference.objects.get_or_create(
            tenant_id=tenant.pk, task_kind="idea", defaults={"deployment": deployment}
        )
        prompt = PromptTemplate.objects.create(
            key=f"key-{tenant.pk}-{index}", version=1, task_kind="idea", body="?"
        )
        generation = Generation.objects.create(
            tenant_id=tenant.pk,
            task_kind="idea",
            prompt=prompt,
            max_tokens=10,
            state=GenerationState.SUCCEEDED,
            deployment=deployment,
            finished_at=now,
            explain=[
                {"deployment": deployment.name, "place": 1, "reason": "idea"},
                {"deployment": deployment.name, "attempt": 1, "outcome": "answered"},
            ],
        )
        _optimisation(tenant, deployment, generation, index)
        spent = {
            "tenant_id": tenant.pk,
            "provider": "openai",
            "model": price.model,
            "task_kind": "idea",
            "generation_id": generation.pk,
            "attempt": 1,
            "price": price,
            "occurred_at": generation.created_at,
        }
        hold = Hold.objects.create(
            **spent,
            bound=Decimal("0.01"),
            expires_at=now + timedelta(minutes=1),
            state=HoldState.SETTLED,
            ended_at=now,
        )
        LedgerEntry.objects.create(**spent, input_tokens=10, output_tokens=2, amount=Decimal("0.0000123"))
        budget = Budget.objects.create(
            tenant_id=tenant.pk, scope="campaign", scope_id=generation.pk, limit=Decimal(50)
        )
        BudgetCounter.objects.create(tenant_id=tenant.pk, budget=budget, period_start=now.date())
        ExchangeRate.objects.create(
            currency="EUR",
            date=now.date() - timedelta(days=ExchangeRate.objects.count()),
            per_usd=Decimal("0.92"),
        )
        Forecast.objects.create(
            tenant_id=tenant.pk,
            made_on=now.date() - timedelta(days=index),
            made_at=now,
            month=now.date().replace(day=1),
            method="none",
            reason="Not enough data.",
            observed_days=0,
            spent=Decimal("0.01"),
        )
    _bill(tenant, by, hold)


def _bill(tenant: Tenant, by: User, hold: Hold) -> None:
    now = timezone.now()
    with system_transaction():
        bill = UsageImport.objects.create(
            provider="openai",
            file_name="usage.csv",
            sha256=str(hold.pk),
            layout="usage",
            first_day=now.date(),
            last_day=now.date(),
            lines=1,
            other_lines=0,
            uploaded_by=by.pk,
            compared_at=now,
        )
        of = {"usage_import": bill, "day": now.date(), "model": hold.model}
        UsageLine.objects.create(**of, input_tokens=10, output_tokens=2)
        UsageDifference.objects.create(
            **of,
            provider="openai",
            state="different",
            priced=False,
            amount=Decimal(3),
            **dict.fromkeys(
                ("our_requests", "our_input_tokens", "our_cached_tokens", "our_output_tokens"), 1
            ),
            our_amount=Decimal(2),
            estimates=1,
            estimated_amount=Decimal(1),
        )
        UsageCorrection.objects.create(
            **of,
            tenant_id=tenant.pk,
            hold_id=hold.pk,
            generation_id=hold.generation_id,
            attempt=1,
            **dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens"), 1),
            bound=Decimal(1),
            amount=Decimal(2),
        )


def _optimisation(tenant: Tenant, deployment: Deployment, generation: Generation, index: int) -> None:
    now = timezone.now()
    Analysis.objects.create(tenant_id=tenant.pk, state="done", finished_at=now)
    recommendation = Recommendation.objects.create(
        tenant_id=tenant.pk,
        kind="dear_model",
        subject=f"idea:{index}",
        task_kind="idea",
        advice="Ask the cheaper one first.",
        change={"deployment": str(deployment.pk)},
        monthly_saving=Decimal("1.5"),
        confidence=Decimal("0.5"),
        reasons=["It was seen 10 times."],
        analysed_at=now,
    )
    replay = Replay.objects.create(
        tenant_id=tenant.pk,
        recommendation=recommendation,
        deployment=deployment,
        judged=True,
        threshold=Decimal("0.7"),
        max_cost=Decimal(1),
    )
    ReplayItem.objects.create(
        tenant_id=tenant.pk, replay=replay, original_id=generation.pk, generation_id=generation.pk
    )


def _operations(tenant: Tenant, by: User, index: int) -> None:
    now = timezone.now()
    name = f"{tenant.pk}-{index}"
    factories.user(tenant=tenant, role=Role.ANALYST)
    with system_transaction():
        create_api_key(tenant=tenant, role=Role.MANAGER, name=name)
        alert = Alert.objects.create(
            tenant_id=tenant.pk, rule="daily_cost", subject=name, message="More than $50."
        )
        target = NotificationTarget.objects.create(
            tenant_id=tenant.pk, channel="email", name=name, address=f"{name}@example.com"
        )
        Delivery.objects.create(
            tenant_id=tenant.pk, alert=alert, destination=target, channel="email", target=target.address
        )
        JobRun.objects.create(
            job=name, period_start=now, started_at=now, state=JobState.DONE, finished_at=now
        )
        # Before all others, whatever minute those were made in.
        oldest = RequestTally.objects.order_by("minute").values_list("minute", flat=True).first()
        minute = (oldest or now.replace(second=0, microsecond=0)) - timedelta(minutes=1)
        RequestTally.objects.create(minute=minute, requests=3, failed=1)
        DeadLetter.objects.create(
            task="tasks.ai.run_generation",
            task_id=name,
            queue="ai",
            kwargs={"generation_id": name},
            error="ValueError: no",
            traceback="Traceback\n  line 1",
            attempts=6,
        )
        IdempotencyRecord.objects.create(tenant_id=tenant.pk, key=name, request_hash="0" * 64)
        flag = Flag.objects.create(name=f"flag-{name}"[:64])
        FlagOverride.objects.create(flag=flag, tenant_id=tenant.pk, enabled=True)
        Group.objects.create(name=name)
        LogEntry.objects.create(
            user=by,
            content_type=ContentType.objects.get_for_model(Tenant),
            object_id=str(tenant.pk),
            object_repr=str(tenant),
            action_flag=CHANGE,
            change_message="",
        )
