"""Read flags, and set them for one tenant. All of it runs in the caller's transaction."""

from uuid import UUID

from apps.common.errors import NotFoundError
from apps.flags.models import Flag, FlagOverride
from apps.flags.rollout import Flags


class UnknownFlagError(NotFoundError):
    code = "unknown_flag"


def read_flags() -> Flags:
    """Every flag, with the settings of those tenants that the transaction may see."""
    overrides = FlagOverride.objects.values_list("flag__name", "tenant_id", "enabled")
    return Flags(
        percentages=dict(Flag.objects.values_list("name", "rollout_percent")),
        overrides={(name, tenant_id): enabled for name, tenant_id, enabled in overrides},
    )


def set_override(*, name: str, tenant_id: UUID, enabled: bool | None) -> None:
    """Switch a flag for one tenant, whatever the roll-out says; None leaves it to the roll-out again.

    Raises UnknownFlagError.
    """
    flag = Flag.objects.filter(name=name).first()
    if flag is None:
        raise UnknownFlagError(f"There is no flag “{name}”; GET lists those that there are.")
    if enabled is None:
        FlagOverride.objects.filter(flag=flag, tenant_id=tenant_id).delete()
    else:
        FlagOverride.objects.update_or_create(flag=flag, tenant_id=tenant_id, defaults={"enabled": enabled})
