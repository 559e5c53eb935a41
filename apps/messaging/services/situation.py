"""What the dispatcher says of itself: where its limiter is, who works, what holds it up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.messaging.gateways.registry import connected_platforms
from apps.messaging.models import (
    BreakerState,
    DispatchEpoch,
    DispatchWorker,
    Layer,
    Mode,
    Platform,
    PlatformState,
    SendBlock,
)
from apps.tenants.system import system_transaction

# Workers report every second; one that was silent for so long counts as gone.
ALIVE_FOR = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class PlatformSituation:
    platform: str
    connected: bool
    paused_at: datetime | None
    pause_reason: str
    breaker: str
    open_until: datetime | None

    @property
    def obstacle(self) -> str:
        """Why nothing is sent there until a person acts, as a code; empty if it is."""
        if not self.connected:
            return "platform_not_connected"
        return "platform_paused" if self.paused_at else ""

    @property
    def probed_at(self) -> datetime | None:
        """When a single message tries if the platform works again; None if the breaker is closed."""
        return None if self.breaker == BreakerState.CLOSED else self.open_until


@dataclass(frozen=True, slots=True)
class Situation:
    mode: str
    epoch: int
    reason: str
    changed_at: datetime | None
    workers: int
    platforms: dict[str, PlatformSituation]
    held: str
    """Why no message of anybody is sent; empty if they are."""


def read_situation(*, now: datetime) -> Situation:
    """As it is at this moment, in four small queries."""
    with system_transaction():
        epoch = DispatchEpoch.objects.filter(pk=1).first() or DispatchEpoch(pk=1)
        workers = list(DispatchWorker.objects.filter(seen_at__gt=now - ALIVE_FOR))
        states = PlatformState.objects.in_bulk()
        full = (
            SendBlock.objects.filter(layer=Layer.GLOBAL, until__gt=now)
            .values_list("until", flat=True)
            .first()
        )
    connected = connected_platforms()
    platforms = {
        name: _platform(states.get(name) or PlatformState(platform=name), connected=name in connected)
        for name in Platform.values
    }
    return Situation(
        mode=Mode(epoch.mode).value,
        epoch=epoch.number,
        reason=epoch.reason,
        changed_at=epoch.changed_at if epoch.pk and not epoch._state.adding else None,
        workers=len(workers),
        platforms=platforms,
        held=_held(workers, Mode(epoch.mode), full),
    )


def _platform(state: PlatformState, *, connected: bool) -> PlatformSituation:
    return PlatformSituation(
        platform=state.platform,
        connected=connected,
        paused_at=state.paused_at,
        pause_reason=state.pause_reason,
        breaker=state.breaker,
        open_until=state.open_until,
    )


def _held(workers: list[DispatchWorker], mode: Mode, full: datetime | None) -> str:
    if not workers:
        return "No dispatch worker is alive."
    if mode == Mode.REDIS and not any(each.redis_since for each in workers):
        return "No dispatch worker reaches Redis."
    if all(each.holds for each in workers):
        return f"{workers[0].holds[0].upper()}{workers[0].holds[1:]}."
    return f"The limit on everything is reached until {full:%H:%M:%S} UTC." if full else ""
