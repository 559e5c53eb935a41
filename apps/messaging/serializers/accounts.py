from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.serializers import StrictSerializer
from apps.common.text import validate_name
from apps.messaging.models import Account, Platform, QuietZone
from apps.messaging.services.connections import AccountFields
from apps.messaging.services.limits import Limits, read_limits
from apps.tenants.models import validate_time_zone

MAX_LIMIT_COUNT = 10_000
MAX_LIMIT_SECONDS = 31 * 24 * 3600


class LimitSerializer(StrictSerializer):
    """At most `count` messages in any window of `seconds`."""

    count = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT_COUNT)
    seconds = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT_SECONDS)


class QuietHoursSerializer(StrictSerializer):
    """From `start` to `end` by the clock of `quiet_zone`, over midnight where `end` is the earlier."""

    start = serializers.TimeField()
    end = serializers.TimeField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["start"] == attrs["end"]:
            raise serializers.ValidationError(
                "`start` and `end` have to differ; for no quiet hours send null."
            )
        return attrs


class FanLimitsSerializer(StrictSerializer):
    """How often campaigns may write to the same fan, all of them together; null: no limit."""

    min_gap_seconds = serializers.IntegerField(
        min_value=1, max_value=MAX_LIMIT_SECONDS, required=False, allow_null=True
    )
    cap = LimitSerializer(required=False, allow_null=True)


def _fan_columns(given: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if "min_gap_seconds" in given:
        columns["fan_gap_seconds"] = given["min_gap_seconds"]
    if "cap" in given:
        cap = given["cap"] or {"count": None, "seconds": None}
        columns |= {"fan_cap_count": cap["count"], "fan_cap_seconds": cap["seconds"]}
    return columns


class AccountChanges(StrictSerializer):
    """What can be changed of an account; what isn't given stays as it is."""

    name = serializers.CharField(max_length=200, required=False, validators=[validate_name])
    credential = serializers.CharField(
        max_length=4096, required=False, help_text="The platform's token. It is never shown again."
    )
    limit = LimitSerializer(
        required=False, allow_null=True, help_text="Null: the platform's default, whatever that becomes."
    )
    min_gap_ms = serializers.IntegerField(
        min_value=0, max_value=3_600_000, required=False, help_text="Between any two messages; 0: none."
    )
    fan_limits = FanLimitsSerializer(required=False)
    time_zone = serializers.CharField(
        max_length=64, required=False, validators=[validate_time_zone], help_text="An IANA name."
    )
    quiet_hours = QuietHoursSerializer(required=False, allow_null=True)
    quiet_zone = serializers.ChoiceField(
        QuietZone.choices, required=False, help_text="Whose clock they go by; a fan's, where it is known."
    )

    def columns(self) -> AccountFields:
        """What was given, as columns of the account."""
        identity = ("platform", "external_id")
        given = {name: value for name, value in self.validated_data.items() if name not in identity}
        if "limit" in given:
            limit = given.pop("limit") or {"count": None, "seconds": None}
            given |= {"limit_count": limit["count"], "limit_seconds": limit["seconds"]}
        if "fan_limits" in given:
            given |= _fan_columns(given.pop("fan_limits"))
        if "quiet_hours" in given:
            hours = given.pop("quiet_hours") or {"start": None, "end": None}
            given |= {"quiet_start": hours["start"], "quiet_end": hours["end"]}
        fields: AccountFields = given  # type: ignore[assignment]  # its keys are the fields above
        return fields


class AccountRequest(AccountChanges):
    """A creator's account to connect. Fields from `limit` on have defaults."""

    platform = serializers.ChoiceField(Platform.choices)
    external_id = serializers.CharField(max_length=128, help_text="The platform's own id.")
    name = serializers.CharField(max_length=200, validators=[validate_name])
    credential = serializers.CharField(
        max_length=4096, help_text="The platform's token. It is never shown again."
    )


class AccountSerializer(serializers.Serializer[Account]):
    id = serializers.UUIDField()
    platform = serializers.ChoiceField(Platform.choices)
    external_id = serializers.CharField()
    name = serializers.CharField()
    limit = serializers.SerializerMethodField()
    limit_is_own = serializers.SerializerMethodField()
    min_gap_ms = serializers.IntegerField()
    fan_limits = serializers.SerializerMethodField()
    time_zone = serializers.CharField()
    quiet_hours = serializers.SerializerMethodField()
    quiet_zone = serializers.ChoiceField(QuietZone.choices)
    paused = serializers.SerializerMethodField()
    pause_reason = serializers.CharField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(LimitSerializer)
    def get_limit(self, account: Account) -> dict[str, int]:
        """The one in force: its own, or its platform's."""
        limit = self._limits.of_account(account)
        return {"count": limit.count, "seconds": int(limit.seconds)}

    def get_limit_is_own(self, account: Account) -> bool:
        """False: `limit` is the platform's default, whatever that becomes."""
        return account.limit_count is not None

    @cached_property
    def _limits(self) -> Limits:
        return read_limits([])

    @extend_schema_field(FanLimitsSerializer)
    def get_fan_limits(self, account: Account) -> dict[str, Any]:
        count, seconds = account.fan_cap_count, account.fan_cap_seconds
        return {
            "min_gap_seconds": account.fan_gap_seconds,
            "cap": {"count": count, "seconds": seconds} if count else None,
        }

    @extend_schema_field(QuietHoursSerializer(allow_null=True))
    def get_quiet_hours(self, account: Account) -> dict[str, Any] | None:
        if account.quiet_start is None:
            return None
        return dict(QuietHoursSerializer({"start": account.quiet_start, "end": account.quiet_end}).data)

    def get_paused(self, account: Account) -> bool:
        return account.paused_at is not None


class PauseRequest(StrictSerializer):
    reason = serializers.CharField(max_length=200, default="", allow_blank=True, help_text="For people.")


class PausedAccountSerializer(AccountSerializer):
    in_flight = serializers.SerializerMethodField(help_text="Messages on their way that can't be held back.")

    def get_in_flight(self, account: Account) -> int:
        number: int = self.context["in_flight"]
        return number
