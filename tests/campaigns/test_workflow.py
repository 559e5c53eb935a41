"""A campaign's way through its steps, and what happens when something is in the way."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils import timezone

from apps.ai.models import Generation, GenerationState, PromptTemplate
from apps.ai.services.generations import run_generation
from apps.campaigns.models import Approval, Campaign, CampaignStatus, CampaignType, Personalisation
from apps.campaigns.services import control, workflow
from apps.campaigns.services.create import CampaignDraft, create_campaign
from apps.common.errors import InvalidInputError
from apps.content.models import Content, ContentState
from apps.costs.models import BudgetScope, LedgerEntry
from apps.costs.services.budgets import create_budget
from apps.messaging.models import Account, Fan, Message, MessageState, Outbox
from apps.messaging.services import outboxes
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant, User
from apps.tenants.system import system_transaction
from tests import factories
from tests.campaigns.conftest import advance_all, reload, steps_of
from tests.conftest import Sandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

Create = Callable[..., Campaign]


@pytest.fixture
def create(agency: Tenant) -> Create:
    def make(*accounts: Account, user: User | None = None, **fields: object) -> Campaign:
        draft = CampaignDraft(
            name="Summer",
            type=CampaignType.MASS_MESSAGE,
            brief="Photographs from the lake.",
            accounts=[each.pk for each in accounts],
            **fields,  # type: ignore[arg-type]
        )
        with tenant_transaction(agency):
            return create_campaign(
                tenant_id=agency.pk, draft=draft, now=timezone.now(), user_id=user.pk if user else None
            )[0]

    return make


def messages_of(campaign: Campaign) -> list[Message]:
    with system_transaction():
        return list(Message.objects.filter(outbox=campaign.outbox_id).select_related("fan").order_by("pk"))


def end_messages(campaign: Campaign) -> None:
    """As if the platform had taken every message."""
    now = timezone.now()
    with system_transaction():
        sent = Message.objects.filter(outbox=campaign.outbox_id).update(
            state=MessageState.SENT, sent_at=now, finished_at=now
        )
        Outbox.objects.filter(pk=campaign.outbox_id).update(queued=0, sent=sent)


def test_a_campaign_waits_for_approval_with_its_texts_written(create: Create, account: Account) -> None:
    factories.fans(3, account=account)
    campaign = advance_all(create(account).pk)

    assert campaign.status == CampaignStatus.AWAITING_APPROVAL
    assert campaign.plan
    assert campaign.plan["summary"]
    with system_transaction():
        text = Content.objects.get(campaign_id=campaign.pk)
    assert "{{ fan.name }}" in text.text
    assert not messages_of(campaign)


def test_an_approved_campaign_writes_to_each_fan_once_and_finishes(create: Create, account: Account) -> None:
    fans = factories.fans(3, account=account)
    campaign = advance_all(create(account).pk)
    with tenant_transaction(campaign.tenant_id):
        control.approve_campaign(tenant_id=campaign.tenant_id, campaign_id=campaign.pk, now=timezone.now())
    campaign = advance_all(campaign.pk)
    assert campaign.status == CampaignStatus.DISPATCHING
    assert {message.fan_id for message in messages_of(campaign)} == {fan.pk for fan in fans}
    assert campaign.outbox.queued == 3

    end_messages(campaign)
    campaign = advance_all(campaign.pk)
    assert campaign.status == CampaignStatus.FINISHED
    assert campaign.outbox.closed_at
    assert set(steps_of(campaign).values()) == {"done"}


def test_an_automatic_campaign_needs_nobody(create: Create, account: Account) -> None:
    factories.fan(account=account)
    campaign = advance_all(create(account, approval=Approval.AUTOMATIC).pk)
    assert campaign.status == CampaignStatus.DISPATCHING
    assert len(messages_of(campaign)) == 1


def test_per_fan_texts_are_each_fans_own(create: Create, account: Account) -> None:
    factories.fan(account=account, name="Grace")
    factories.fan(account=account, name="Linus")
    campaign = advance_all(
        create(account, personalisation=Personalisation.PER_FAN, approval=Approval.AUTOMATIC).pk
    )
    texts = {message.fan.name: message.text for message in messages_of(campaign)}
    assert set(texts) == {"Grace", "Linus"}
    assert all(name in (text or "") for name, text in texts.items())


@pytest.mark.parametrize("personalisation", Personalisation)
def test_whatever_a_campaign_asks_the_ai_counts_for_whoever_launched_it(
    create: Create, agency: Tenant, account: Account, personalisation: Personalisation
) -> None:
    factories.fan(account=account)
    ada = factories.user(tenant=agency)
    campaign = advance_all(create(account, user=ada, personalisation=personalisation).pk)
    with system_transaction():
        generations = list(Generation.objects.filter(campaign_id=campaign.pk))
        spent_by = set(LedgerEntry.objects.values_list("generation_id", "user_id"))
    assert len(generations) == 2
    assert spent_by == {(each.pk, ada.pk) for each in generations}


def test_a_spent_budget_of_whoever_launched_it_stops_a_campaign(
    create: Create, agency: Tenant, account: Account
) -> None:
    factories.fan(account=account)
    ada = factories.user(tenant=agency)
    create_budget(
        tenant_id=agency.pk, limit=Decimal(0), scope=BudgetScope.USER, scope_id=ada.pk, now=timezone.now()
    )
    assert advance_all(create(account, user=ada).pk).status == CampaignStatus.FAILED
    assert advance_all(create(account).pk).status == CampaignStatus.AWAITING_APPROVAL


def test_fans_without_consent_or_outside_the_segment_get_nothing(create: Create, account: Account) -> None:
    wanted = factories.fan(account=account, spend="100")
    factories.fan(account=account, spend="100", consent=False)
    factories.fan(account=account, spend="1")
    campaign = advance_all(
        create(account, segment={"include": {"spend": {"gte": "50"}}}, approval=Approval.AUTOMATIC).pk
    )
    assert [message.fan_id for message in messages_of(campaign)] == [wanted.pk]


def test_an_account_without_recipients_costs_no_text(
    create: Create, account: Account, agency: Tenant
) -> None:
    factories.fan(account=account)
    lonely = factories.account(tenant=agency)
    campaign = advance_all(create(account, lonely, approval=Approval.AUTOMATIC).pk)
    assert campaign.status == CampaignStatus.DISPATCHING
    with system_transaction():
        assert not Content.objects.filter(account=lonely).exists()


def test_several_accounts_are_filled_one_after_another(
    create: Create, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.campaigns.services.steps.dispatch.CHUNK", 2)
    accounts = [factories.account(tenant=agency) for _ in range(3)]
    fans = [fan for each in accounts for fan in factories.fans(3, account=each)]
    campaign = advance_all(create(*accounts, approval=Approval.AUTOMATIC).pk)
    assert sorted(message.fan_id for message in messages_of(campaign)) == sorted(fan.pk for fan in fans)
    assert campaign.outbox.queued == 9


def test_advancing_again_and_again_asks_for_nothing_twice(create: Create, account: Account) -> None:
    factories.fan(account=account)
    campaign = create(account)
    for _ in range(3):
        workflow.advance(campaign_id=campaign.pk, now=timezone.now())
    with system_transaction():
        assert Generation.objects.count() == 1


def test_no_recipients_is_refused_at_once(create: Create, account: Account) -> None:
    factories.fan(account=account, consent=False)
    with pytest.raises(InvalidInputError) as refusal:
        create(account)
    assert refusal.value.code == "no_recipients"


def test_a_strangers_account_is_unknown(create: Create, stranger: Tenant) -> None:
    account = factories.account(tenant=stranger)
    factories.fan(account=account)
    with pytest.raises(InvalidInputError) as refusal:
        create(account)
    assert refusal.value.code == "unknown_account"


def test_a_plan_that_cannot_be_made_fails_the_campaign_with_its_reason(
    create: Create, account: Account, ai_sandbox: Sandbox
) -> None:
    factories.fan(account=account)
    campaign = create(account)
    [plan] = workflow.advance(campaign_id=campaign.pk, now=timezone.now()).generation_ids
    now = timezone.now()
    with system_transaction():
        Generation.objects.filter(pk=plan).update(
            state=GenerationState.FAILED, finished_at=now, error="Both providers are down."
        )
    campaign = advance_all(campaign.pk)
    assert campaign.status == CampaignStatus.FAILED
    assert "Both providers are down." in campaign.reason
    assert steps_of(campaign) == {
        "plan": "failed",
        "personalise": "skipped",
        "approve": "skipped",
        "dispatch": "skipped",
        "finish": "skipped",
    }


def test_a_text_that_cannot_be_rendered_fails_the_campaign_before_anything_is_sent(
    create: Create, account: Account
) -> None:
    factories.fan(account=account)
    campaign = create(account, approval=Approval.AUTOMATIC)
    plan_and_text(campaign.pk, text="Hello {{ fan.nam }")
    campaign = reload(campaign.pk)
    assert campaign.status == CampaignStatus.FAILED
    assert account.name in campaign.reason
    assert not messages_of(campaign)


def test_a_fan_whose_text_failed_is_passed_over_and_the_others_are_not(
    create: Create, account: Account
) -> None:
    fans: list[Fan] = factories.fans(2, account=account)
    campaign = create(account, personalisation=Personalisation.PER_FAN, approval=Approval.AUTOMATIC)
    [plan] = workflow.advance(campaign_id=campaign.pk, now=timezone.now()).generation_ids
    run_generation(generation_id=plan, clock=timezone.now)
    workflow.advance(campaign_id=campaign.pk, now=timezone.now())
    workflow.advance(campaign_id=campaign.pk, now=timezone.now())
    now = timezone.now()
    with system_transaction():
        unlucky = Content.objects.get(campaign_id=campaign.pk, fan=fans[0])
        assert unlucky.generation
        Generation.objects.filter(pk=unlucky.generation.pk).update(
            state=GenerationState.FAILED, finished_at=now, error="Filtered."
        )
        other = Content.objects.get(campaign_id=campaign.pk, fan=fans[1])
    assert other.generation_id
    run_generation(generation_id=other.generation_id, clock=timezone.now)
    campaign = advance_all(campaign.pk)
    assert [message.fan_id for message in messages_of(campaign)] == [fans[1].pk]
    with system_transaction():
        assert Content.objects.get(pk=unlucky.pk).state == ContentState.FAILED


def test_a_fan_whose_text_cannot_be_sent_or_asked_for_is_passed_over(
    create: Create, account: Account
) -> None:
    [chatty, plain] = factories.fans(2, account=account)
    factories.fan(account=account, attributes={"notes": "x" * 200_000})
    campaign = create(account, personalisation=Personalisation.PER_FAN, approval=Approval.AUTOMATIC)
    [plan] = workflow.advance(campaign_id=campaign.pk, now=timezone.now()).generation_ids
    run_generation(generation_id=plan, clock=timezone.now)
    workflow.advance(campaign_id=campaign.pk, now=timezone.now())
    asked = workflow.advance(campaign_id=campaign.pk, now=timezone.now()).generation_ids
    with system_transaction():
        Generation.objects.filter(contents__fan=chatty).update(
            state=GenerationState.SUCCEEDED, finished_at=timezone.now(), text="x" * 10_001
        )
    for generation_id in asked:
        run_generation(generation_id=generation_id, clock=timezone.now)
    campaign = advance_all(campaign.pk)
    assert campaign.status == CampaignStatus.DISPATCHING
    assert [message.fan_id for message in messages_of(campaign)] == [plain.pk]


def test_a_step_that_is_refused_fails_the_campaign_with_its_reason(create: Create, account: Account) -> None:
    factories.fan(account=account)
    campaign = create(account)
    with system_transaction():
        PromptTemplate.objects.filter(key="campaign_plan").update(is_active=False)
    try:
        campaign = advance_all(campaign.pk)
    finally:
        with system_transaction():
            PromptTemplate.objects.filter(key="campaign_plan", version=1).update(is_active=True)
    assert campaign.status == CampaignStatus.FAILED
    assert "campaign_plan" in campaign.reason
    assert campaign.outbox.cancelled_at


def test_an_outbox_that_an_operator_cancelled_fails_the_campaign_and_sends_nothing(
    create: Create, account: Account
) -> None:
    factories.fan(account=account)
    campaign = create(account)
    advance_all(campaign.pk)
    now = timezone.now()
    with tenant_transaction(campaign.tenant_id):
        control.approve_campaign(tenant_id=campaign.tenant_id, campaign_id=campaign.pk, now=now)
        outboxes.cancel(outbox=campaign.outbox, now=now)
    campaign = advance_all(campaign.pk)
    assert campaign.status == CampaignStatus.FAILED
    assert not messages_of(campaign)


def test_a_message_that_is_replayed_at_the_last_moment_is_waited_for(
    create: Create, account: Account
) -> None:
    factories.fan(account=account)
    campaign = advance_all(create(account, approval=Approval.AUTOMATIC).pk)
    end_messages(campaign)
    assert workflow.advance(campaign_id=campaign.pk, now=timezone.now()).more  # to the last step
    with system_transaction():
        Outbox.objects.filter(pk=campaign.outbox_id).update(queued=1, sent=0)
    assert advance_all(campaign.pk).status == CampaignStatus.DISPATCHING
    end_messages(campaign)
    assert advance_all(campaign.pk).status == CampaignStatus.FINISHED


def test_a_paused_campaign_stands_still_and_goes_on_when_resumed(create: Create, account: Account) -> None:
    factories.fan(account=account)
    campaign = create(account, approval=Approval.AUTOMATIC)
    tenant_id = campaign.tenant_id
    with tenant_transaction(tenant_id):
        control.pause_campaign(tenant_id=tenant_id, campaign_id=campaign.pk, now=timezone.now())
    assert advance_all(campaign.pk).status == CampaignStatus.PLANNING
    with tenant_transaction(tenant_id):
        control.resume_campaign(tenant_id=tenant_id, campaign_id=campaign.pk, now=timezone.now())
    assert advance_all(campaign.pk).status == CampaignStatus.DISPATCHING


def test_the_sweep_finds_what_is_open_and_leaves_what_waits_for_a_person(
    create: Create, account: Account
) -> None:
    factories.fan(account=account)
    waiting, fresh, paused = create(account), create(account), create(account)
    advance_all(waiting.pk)
    with tenant_transaction(paused.tenant_id):
        control.pause_campaign(tenant_id=paused.tenant_id, campaign_id=paused.pk, now=timezone.now())
    assert workflow.open_campaigns(after=None, limit=10) == [fresh.pk]
    assert workflow.open_campaigns(after=fresh.pk, limit=10) == []


def plan_and_text(campaign_id: UUID, *, text: str) -> None:
    """Carry a campaign on, with a text of our own in place of the AI's."""
    [plan] = workflow.advance(campaign_id=campaign_id, now=timezone.now()).generation_ids
    run_generation(generation_id=plan, clock=timezone.now)
    asked = workflow.advance(campaign_id=campaign_id, now=timezone.now()).generation_ids
    asked += workflow.advance(campaign_id=campaign_id, now=timezone.now()).generation_ids
    now = timezone.now()
    with system_transaction():
        Generation.objects.filter(pk__in=asked).update(
            state=GenerationState.SUCCEEDED, finished_at=now, text=text
        )
    advance_all(campaign_id)


def test_a_cancelled_campaign_asks_for_no_text_that_nobody_has_begun(
    create: Create, account: Account
) -> None:
    factories.fan(account=account)
    campaign = create(account)
    [plan] = workflow.advance(campaign_id=campaign.pk, now=timezone.now()).generation_ids
    with tenant_transaction(campaign.tenant_id):
        control.cancel_campaign(tenant_id=campaign.tenant_id, campaign_id=campaign.pk, now=timezone.now())
    assert run_generation(generation_id=plan, clock=timezone.now) is None
    with system_transaction():
        assert Generation.objects.get().error_code == "campaign_over"
