"""What stands above the accounts on the page Dispatch: the dispatcher as a whole, and the upper layers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apps.common.admin.columns import EMPTY, badge, change_url, link, list_url
from apps.messaging.limiter.rules import Limit
from apps.messaging.models import Layer, Mode, Platform, SendLimit
from apps.messaging.services import stats
from apps.messaging.services.layers import Standing, Subject
from apps.messaging.services.limits import read_limits
from apps.messaging.services.situation import PlatformSituation, Situation
from apps.tenants.models import Tenant, User

# The limits of single tenants and users that are shown; the list of send limits has all of them.
SHOWN = 20


@dataclass
class LayerLine:
    """A layer's limit, and how full it is where it counts one thing."""

    title: str
    url: str
    limit: Limit
    subject: Subject | None = None
    standing: Standing | None = None


@dataclass
class Panel:
    situation: Situation
    backlog: dict[str, int]
    lines: list[LayerLine]
    more: int
    tables: dict[str, Any] = field(default_factory=dict)

    @property
    def subjects(self) -> list[Subject]:
        return [line.subject for line in self.lines if line.subject]

    @property
    def mode(self) -> str:
        return Mode(self.situation.mode).label

    @property
    def queued(self) -> str:
        return f"{self.backlog['queued']:,}"

    @property
    def held(self) -> str:
        return f"{self.backlog['held']:,}"

    @property
    def sending(self) -> str:
        return f"{self.backlog['sending']:,}"

    @property
    def unknown(self) -> str:
        return f"{self.backlog['unknown']:,}"

    def fill(self, standings: dict[Subject, Standing], *, now: datetime) -> None:
        """Make the tables, from how the layers stand."""
        self.tables = {
            "layers": {
                "headers": ["limit", "at most", "taken", "free", "next slot"],
                "rows": [_layer(line, standings, now=now) for line in self.lines],
            },
            "platforms": {
                "headers": ["platform", "state", "breaker"],
                "rows": [_platform(each, now=now) for each in self.situation.platforms.values()],
            },
        }


def panel(situation: Situation, *, now: datetime) -> Panel:
    """What the rows say; `fill` adds what the limiter does."""
    limits = read_limits([])
    lines = [
        LayerLine(
            f"Each recipient, {platform.label}", _limits(layer="recipient"), limits.of_recipients(platform)
        )
        for platform in Platform
        if situation.platforms[platform].connected
    ]
    lines += [
        LayerLine(f"Each account, {platform.label}", _limits(layer="account"), limits.of_accounts(platform))
        for platform in Platform
        if situation.platforms[platform].connected
    ]
    for layer, title in ((Layer.USER, "Each user"), (Layer.TENANT, "Each tenant")):
        if usual := limits.of_layer(layer, None):
            lines.append(LayerLine(title, _limits(layer=layer.value), usual))
    if everything := limits.of_layer(Layer.GLOBAL, None):
        subject = Subject(Layer.GLOBAL, None, everything)
        lines.append(LayerLine("Everything", _limits(layer="global"), everything, subject))
    own = SendLimit.objects.filter(subject_id__isnull=False).order_by("layer", "-pk")
    rows = list(own[: SHOWN + 1])
    names = _names(rows)
    for row in rows[:SHOWN]:
        limit = Limit(row.count, row.seconds, row.min_gap_ms)
        title = f"{row.get_layer_display()} {names.get(row.subject_id, row.subject_id)}"
        subject = Subject(Layer(row.layer), row.subject_id, limit)
        lines.append(LayerLine(title, change_url("messaging.sendlimit", row.pk), limit, subject))
    return Panel(situation, stats.tenant_backlog(None), lines, more=len(rows) > SHOWN)


def _names(limits: list[SendLimit]) -> dict[Any, str]:
    subjects = [limit.subject_id for limit in limits if limit.subject_id]
    tenants = dict(Tenant.objects.filter(pk__in=subjects).values_list("pk", "name"))
    users = dict(User.objects.filter(pk__in=subjects).values_list("pk", "email"))
    return {**tenants, **users}


def _limits(**lookups: str) -> str:
    return list_url("messaging.sendlimit", **{f"{name}__exact": value for name, value in lookups.items()})


def _layer(line: LayerLine, standings: dict[Subject, Standing], *, now: datetime) -> list[Any]:
    most = f"{line.limit.count:,} in {line.limit.seconds:,g} s"
    if line.limit.min_gap_ms:
        most += f", {line.limit.min_gap_ms:,} ms apart"
    title = link(line.url, line.title)
    if line.subject is None:
        return [title, most, EMPTY, EMPTY, EMPTY]
    standing = standings[line.subject]
    opens = f"in {standing.wait.total_seconds():.1f} s" if standing.wait else "now"
    return [title, most, f"{standing.used:,}", f"{standing.free:,}", opens]


def _platform(platform: PlatformSituation, *, now: datetime) -> list[Any]:
    name = link(list_url("messaging.platformstate"), Platform(platform.platform).label)
    if not platform.connected:
        state: Any = "no address"
    elif platform.paused_at:
        state = badge("paused", f"paused: {platform.pause_reason}")
    else:
        state = badge("active", "active")
    closed = platform.breaker == "closed"
    breaker = badge("active" if closed else "open", platform.breaker.replace("_", "-"))
    return [name, state, breaker]
