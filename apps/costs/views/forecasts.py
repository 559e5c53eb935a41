"""What the tenant's month and budgets will come to."""

from dataclasses import fields
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.costs.display import AtOneRate
from apps.costs.forecast_reading import current_forecast
from apps.costs.periods import period_start
from apps.costs.serializers.forecasts import ForecastSerializer
from apps.tenants.views import TenantView


def _usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def _band(point: str, low_80: str, high_80: str, low_95: str, high_95: str) -> dict[str, Any]:
    band = {
        "point": _usd(point),
        "interval_80": {"low": _usd(low_80), "high": _usd(high_80)},
        "interval_95": {"low": _usd(low_95), "high": _usd(high_95)},
    }
    return {**band, "display": band}


_EXAMPLE = OpenApiExample(
    "On the 12th of March",
    response_only=True,
    value={
        "display_currency": "USD",
        "display_missing": None,
        "time_zone": "Europe/Paris",
        "month": {"from": "2026-03-01", "to": "2026-03-31"},
        "spent_so_far": _usd("412.80"),
        "display": _usd("412.80"),
        "month_end": _band("1134.20", "1051.00", "1219.75", "998.40", "1281.10"),
        "method": "ets",
        "reason": "Tried at 90 past days, exponential smoothing came closest: the totals were off by 6.1 %, "
        "those of repeating the last week by 8.2 %.",
        "observed_days": 310,
        "backtest": {
            "measure": "wape_of_running_totals",
            "model": "ets",
            "model_error": 0.0612,
            "naive_error": 0.0823,
            "origins": 90,
        },
        "made_at": "2026-03-12T00:20:04Z",
        "age_s": 32_400,
        "days": [{"day": "2026-03-12", **_band("38.10", "30.20", "46.00", "25.90", "52.30")}],
        "totals": [{"day": "2026-03-31", **_band("1134.20", "1051.00", "1219.75", "998.40", "1281.10")}],
        "budgets": [
            {
                "from": "2026-03-01",
                "to": "2026-03-31",
                "id": "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20",
                "scope": "tenant",
                "scope_id": None,
                "provider": None,
                "period": "month",
                "limit": _usd("1100.00"),
                "spent_so_far": _usd("412.80"),
                "display": {"limit": _usd("1100.00"), "spent_so_far": _usd("412.80")},
                "period_end": _band("1134.20", "1051.00", "1219.75", "998.40", "1281.10"),
                "exhausted_on": {
                    "point": "2026-03-30",
                    "earliest_80": "2026-03-28",
                    "latest_80": None,
                    "earliest_95": "2026-03-26",
                    "latest_95": None,
                },
            }
        ],
    },
)


class CostForecast(TenantView):
    serializer_class = ForecastSerializer

    @extend_schema(operation_id="cost_forecast", tags=["costs"], examples=[_EXAMPLE])
    def get(self, request: Request) -> Response:
        """What this month will come to, and when each budget will be exhausted, with intervals.

        The forecast is made each night, soon after midnight by the tenant's clock; what was spent since is
        taken into account. Until there are five whole days of spend, `method` is `none` and `reason` says so.
        """
        zone, now = self.tenant.time_zone, timezone.now()
        found = current_forecast(tenant_id=self.tenant.pk, time_zone=zone, now=now)
        answer = {field.name: getattr(found, field.name) for field in fields(found)}
        age = int((now - found.made_at).total_seconds()) if found.made_at else None
        shown = AtOneRate.of(self.tenant, day=period_start("day", at=now, time_zone=zone))
        answer |= {
            "time_zone": zone,
            "age_s": age,
            "display": shown.money(found.spent.amount),
            **shown.head(),
        }
        context = {**self.get_serializer_context(), "shown": shown}
        return Response(ForecastSerializer(answer, context=context).data)
