from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from apps.campaigns import queries, serializers
from apps.campaigns.filters import CampaignFilter
from apps.campaigns.hints import hint_campaign
from apps.campaigns.models import Campaign
from apps.campaigns.preview import preview
from apps.campaigns.services import control
from apps.campaigns.services.create import create_campaign
from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.costs.queries import cost_by_campaign
from apps.messaging.hints import hint_resumed
from apps.tenants.views import TenantView

_CAMPAIGN = OpenApiExample(
    "To every fan with consent, once somebody has approved it",
    request_only=True,
    value={
        "name": "Summer",
        "type": "mass_message",
        "brief": "Photographs from the lake.",
        "tone": "playful",
        "accounts": ["0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f"],
        "approval": "manual",
    },
)


class CampaignView(TenantView):
    """What the views of campaigns share: their rows, and a campaign's status as the answer."""

    serializer_class = serializers.CampaignSerializer

    def get_queryset(self) -> QuerySet[Campaign]:
        rows = Campaign.objects.filter(tenant_id=self.tenant.pk)
        return rows.select_related("outbox").prefetch_related("steps")

    def campaign(self, campaign_id: UUID) -> Campaign:
        campaign = self.get_queryset().filter(pk=campaign_id).first()
        if campaign is None:
            raise NotFound("There is no such campaign.")
        return campaign

    def context(self, campaigns: list[Campaign]) -> dict[str, Any]:
        now, ids = timezone.now(), [each.pk for each in campaigns]
        return {
            "work": queries.work_by_campaign(campaigns),
            "costs": cost_by_campaign(ids),
            "ends": queries.ends_by_campaign(campaigns, now=now),
        }

    def status_of(self, campaign_id: UUID, **context: Any) -> Response:
        campaign = self.campaign(campaign_id)
        kind = serializers.PausedSerializer if "in_flight" in context else serializers.CampaignSerializer
        return Response(kind(campaign, context={**self.context([campaign]), **context}).data)


class HybridCampaigns(CampaignView):
    @extend_schema(
        operation_id="create_campaign",
        parameters=[IDEMPOTENCY_KEY],
        examples=[_CAMPAIGN],
        request=serializers.CampaignRequest,
        responses={202: serializers.CampaignAccepted},
    )
    def post(self, request: Request) -> Response:
        """Plan, write and, once approved, send a campaign."""
        return self.once(self._create)

    def _create(self) -> Response:
        body = serializers.CampaignRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        campaign, outlook = create_campaign(
            tenant_id=self.tenant.pk,
            user_id=body.validated_data["user"] or self.principal.user_id,
            draft=body.draft(),
            now=timezone.now(),
        )
        hint_campaign(campaign.pk)
        answer = serializers.CampaignAccepted(
            campaign, context={"request": self.request, "preflight": outlook}
        )
        return Response(answer.data, status=status.HTTP_202_ACCEPTED)


class Campaigns(CampaignView):
    filterset_class = CampaignFilter

    @extend_schema(operation_id="list_campaigns", responses=serializers.CampaignSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Campaigns and how far each has come, newest first."""
        rows = list(self.paginate_queryset(self.filter_queryset(self.get_queryset())) or [])
        data = serializers.CampaignSerializer(rows, many=True, context=self.context(rows))
        return self.get_paginated_response(data.data)


class CampaignStatuses(Campaigns):
    @extend_schema(operation_id="list_campaign_statuses", responses=serializers.CampaignSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The same list, under the name that existing front ends use."""
        return super().get(request)


class CampaignStatusDetail(CampaignView):
    @extend_schema(operation_id="campaign_status", responses=serializers.CampaignSerializer)
    def get(self, request: Request, campaign_id: UUID) -> Response:
        """A campaign's steps, messages by state, progress, expected end and cost."""
        return self.status_of(campaign_id)


class CampaignPreview(CampaignView):
    @extend_schema(operation_id="preview_campaign", responses=serializers.PreviewSerializer)
    def get(self, request: Request, campaign_id: UUID) -> Response:
        """The plan, sample texts on real fans, who gets it and who doesn't, the cost, the end."""
        campaign = self.campaign(campaign_id)
        shown = vars(preview(campaign, now=timezone.now()))
        cost = cost_by_campaign([campaign.pk])[campaign.pk]
        return Response(serializers.PreviewSerializer({**shown, "cost": cost}).data)


class ApproveCampaign(CampaignView):
    bodiless = True

    @extend_schema(operation_id="approve_campaign", request=None, responses=serializers.CampaignSerializer)
    def post(self, request: Request, campaign_id: UUID) -> Response:
        """Send what the preview shows."""
        control.approve_campaign(tenant_id=self.tenant.pk, campaign_id=campaign_id, now=timezone.now())
        hint_campaign(campaign_id)
        return self.status_of(campaign_id)


class RejectCampaign(CampaignView):
    @extend_schema(
        operation_id="reject_campaign",
        request=serializers.ReasonRequest,
        responses=serializers.CampaignSerializer,
    )
    def post(self, request: Request, campaign_id: UUID) -> Response:
        """Refuse it, with a reason; it ends as cancelled."""
        body = serializers.ReasonRequest(data=request.data)
        body.is_valid(raise_exception=True)
        control.reject_campaign(
            tenant_id=self.tenant.pk, campaign_id=campaign_id, now=timezone.now(), **body.validated_data
        )
        return self.status_of(campaign_id)


class PauseCampaign(CampaignView):
    bodiless = True

    @extend_schema(operation_id="pause_campaign", request=None, responses=serializers.PausedSerializer)
    def post(self, request: Request, campaign_id: UUID) -> Response:
        """Hold it back; `in_flight` says how many messages are on their way already."""
        _, in_flight = control.pause_campaign(
            tenant_id=self.tenant.pk, campaign_id=campaign_id, now=timezone.now()
        )
        return self.status_of(campaign_id, in_flight=in_flight)


class ResumeCampaign(CampaignView):
    bodiless = True

    @extend_schema(operation_id="resume_campaign", request=None, responses=serializers.CampaignSerializer)
    def post(self, request: Request, campaign_id: UUID) -> Response:
        """Let a paused campaign go on where it was."""
        control.resume_campaign(tenant_id=self.tenant.pk, campaign_id=campaign_id, now=timezone.now())
        hint_campaign(campaign_id)
        hint_resumed()
        return self.status_of(campaign_id)


class CancelCampaign(CampaignView):
    @extend_schema(
        operation_id="cancel_campaign",
        request=serializers.OptionalReasonRequest,
        responses=serializers.CampaignSerializer,
    )
    def post(self, request: Request, campaign_id: UUID) -> Response:
        """End it; what isn't being sent at this moment won't be. A reason may be given."""
        body = serializers.OptionalReasonRequest(data=request.data)
        body.is_valid(raise_exception=True)
        control.cancel_campaign(
            tenant_id=self.tenant.pk, campaign_id=campaign_id, now=timezone.now(), **body.validated_data
        )
        return self.status_of(campaign_id)
