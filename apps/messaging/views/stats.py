from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.errors import NotFoundError
from apps.messaging.filters import StatsFilter
from apps.messaging.models import Account, Fan, Layer
from apps.messaging.serializers.stats import StatsSerializer
from apps.messaging.services import stats
from apps.messaging.services.layers import Standing, Subject
from apps.messaging.services.situation import Situation
from apps.messaging.services.stats import AccountFigures, UserSubject
from apps.tenants.views import TenantView

Standings = dict[Subject, Standing]
_PAGING = [
    OpenApiParameter("cursor", OpenApiTypes.STR, description="Follow `next` and `previous`."),
    OpenApiParameter("limit", OpenApiTypes.INT, description="Accounts on a page, 1 to 200; 50 by default."),
]


class OnlyFansStats(TenantView):
    serializer_class = StatsSerializer
    filterset_class = StatsFilter
    queryset = Account.objects.defer("credential")

    @extend_schema(
        operation_id="dispatch_stats",
        tags=["onlyfans"],
        parameters=_PAGING,
        filters=True,
        responses={200: StatsSerializer, 404: OpenApiResponse()},
    )
    def get(self, request: Request) -> Response:
        """How full the limits are, what each account has still to send, and when it will have.

        On all platforms; newest accounts first.
        """
        now = timezone.now()
        accounts = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        fan = self._fan()
        reading = stats.read(accounts, tenant_ids=[self.tenant.pk], now=now)
        users = stats.user_subjects(self.tenant.pk)
        backlog = stats.tenant_backlog(self.tenant.pk)
        recipient = stats.recipient_subject(fan, platform=fan.account.platform) if fan else None
        self.end_transaction()
        extra = [*(each.subject for each in users), *([recipient] if recipient else [])]
        standings = stats.standings(reading, extra, now=now)
        page = self.get_paginated_response(
            [_account(each, now=now) for each in reading.figures(standings, now=now)]
        )
        data = {
            "summary": _summary(reading.situation, tenant_paused=bool(reading.paused_tenants)),
            "layers": {
                **_above(reading.above(self.tenant.pk), standings, now=now),
                "users": [_user(each, standings, now=now) for each in users],
                "recipient": recipient
                and {"fan": recipient.subject_id, **_slots(standings[recipient], now=now)},
            },
            "backlog": backlog,
            **page.data,
        }
        return Response(StatsSerializer(data).data)

    def _fan(self) -> Fan | None:
        """The fan that is asked about. Raises NotFoundError, or ValidationError without its account."""
        query = self.request.query_params
        form = StatsFilter(query, queryset=Account.objects.none()).form
        if "fan" not in query or not form.is_valid():
            return None  # the filters say what is wrong
        account_id, fan_id = form.cleaned_data["account"], form.cleaned_data["fan"]
        if account_id is None:
            raise ValidationError({"account": ["Say whose fan it is."]})
        fan = Fan.objects.select_related("account").filter(pk=fan_id, account=account_id).first()
        if fan is None:
            text = "This account has no such fan."
            raise NotFoundError(text, fields={"fan": text})
        return fan


def _summary(situation: Situation, *, tenant_paused: bool) -> dict[str, Any]:
    platforms = [
        {**asdict(each), "paused": each.paused_at is not None} for each in situation.platforms.values()
    ]
    return {
        "mode": situation.mode,
        "epoch": situation.epoch,
        "workers": situation.workers,
        "held": situation.held or None,
        "tenant_paused": tenant_paused,
        "platforms": platforms,
    }


def _above(subjects: list[Subject], standings: Standings, *, now: datetime) -> dict[str, Any]:
    found: dict[str, Any] = {"everything": None, "tenant": None}
    for each in subjects:
        shared = each.layer == Layer.GLOBAL
        name = "everything" if shared else "tenant"
        found[name] = _slots(standings[each], shared=shared, now=now)
    return found


def _user(user: UserSubject, standings: Standings, *, now: datetime) -> dict[str, Any]:
    slots = _slots(standings[user.subject], shared=user.elsewhere, now=now)
    return {"user": user.subject.subject_id, **slots}


def _slots(standing: Standing, *, shared: bool = False, now: datetime) -> dict[str, Any]:
    """`shared`: how much others use of it is their business, when it opens is everybody's."""
    return {
        "count": standing.limit.count,
        "seconds": int(standing.limit.seconds),
        "min_gap_ms": standing.limit.min_gap_ms,
        "used": None if shared else standing.used,
        "free": None if shared else standing.free,
        "next_slot_at": now + standing.wait,
    }


def _account(figures: AccountFigures, *, now: datetime) -> dict[str, Any]:
    account, outlook = figures.account, figures.outlook
    return {
        "account": account.pk,
        "name": account.name,
        "platform": account.platform,
        "paused": account.paused_at is not None,
        "slots": _slots(figures.standing, now=now),
        "next_slot_at": outlook.next_slot_at,
        "next_send_at": outlook.next_send_at,
        "waits_for": outlook.waits_for or None,
        "backlog": figures.backlog,
        "eta": outlook.eta,
    }
