"""A whole stack for tests: its processes, its public API as a front end uses it, its platform as a judge."""

import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from huntaze import stack
from huntaze.processes import WORKERS
from huntaze.stack import Stack
from tests.http_client import http
from tests.unmeasured import unmeasured
from tests.waiting import TooLateError, wait_until

# Flower has no part in any of it.
PROCESSES = ("web", "beat", *(f"worker-{queue}" for queue in WORKERS))
STAND_INS = ("sandbox-ai", "sandbox-gateway")
# What would lead a stack to services of somebody else's, or to ports that are taken.
_ELSEWHERE = (
    *("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "CACHE_REDIS_URL", "CELERY_BROKER_URL"),
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
    *("ONLYFANS_API_URL", "PORT", "FLOWER_PORT", "SANDBOX_AI_PORT", "SANDBOX_GATEWAY_PORT"),
)
# How long an answer may take to come while processes are being killed and started again.
PATIENCE_S = 60
OVER = ("finished", "failed", "cancelled")


@contextmanager
def live_stack(
    home: Path,
    *,
    only: Collection[str] = (*STAND_INS, *PROCESSES),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """A stack that shares nothing with any other: its own state folder, services and ports."""
    measuring = os.environ.keys() - unmeasured().keys()
    overrides: dict[str, str | None] = dict.fromkeys((*_ELSEWHERE, *measuring))
    overrides |= {"HUNTAZE_HOME": str(home), **(environment or {})}
    with stack.running(env_overrides=overrides, only=only) as started:
        yield started


class Refused(Exception):  # noqa: N818 -- an answer, not a failure
    """The API answered with a 4xx."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(
            f"{response.request.method} {response.request.url}: {response.status_code} {response.text}"
        )
        self.status = response.status_code
        self.code = str(response.json()["error"]["code"])


@dataclass
class Api:
    """The public API with one key, for callers who try again while the server is away.

    Trying again is safe: what creates something carries an idempotency key, and the rest changes a state.
    """

    base_url: str
    key: str

    def get(self, path: str, **query: Any) -> Any:
        return self._answer("GET", path, params=query)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return self._answer("POST", path, json=body, headers=headers)

    def every(self, path: str, **query: Any) -> list[Any]:
        """All pages of a list."""
        page = self.get(path, limit=200, **query)
        rows = list(page["results"])
        while page["next"]:
            page = self._answer("GET", page["next"])
            rows += page["results"]
        return rows

    def _answer(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **request: Any
    ) -> Any:
        url = path if path.startswith("http") else f"{self.base_url}/api/v2{path}"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                response = http.request(
                    method,
                    url,
                    headers={"Authorization": f"Bearer {self.key}", **(headers or {})},
                    timeout=20,
                    **request,
                )
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if response.is_success:
                    return response.json()
                if response.is_client_error:
                    raise Refused(response)
                problem = f"{response.status_code} {response.text[:500]}"
            assert time.monotonic() < deadline, f"{method} {url} for {PATIENCE_S} s: {problem}"
            time.sleep(0.2)


def new_agency(services: Stack, *, name: str = "Ada's agency") -> Api:
    """A tenant with a key of its owner's."""
    name = f"{name} {secrets.token_hex(4)}"
    services.manage("create_tenant", name, "--email", f"owner-{secrets.token_hex(4)}@example.com")
    key = services.manage("create_api_key", name, "--role", "owner").strip()
    return Api(services.base_url, key)


@dataclass(frozen=True)
class Creator:
    """An account with fans; all ids are the platform's but `id`."""

    id: str
    external_id: str
    fans: tuple[str, ...]


def new_creator(api: Api, *, fans: int, count: int = 10, seconds: int = 5) -> Creator:
    """An account, limited to `count` messages in `seconds`, with fans."""
    external_id = f"creator-{secrets.token_hex(4)}"
    account = api.post(
        "/accounts",
        {
            "platform": "onlyfans",
            "external_id": external_id,
            "name": external_id.title(),
            "credential": secrets.token_urlsafe(),
            "limit": {"count": count, "seconds": seconds},
        },
    )
    names = tuple(f"fan-{external_id}-{number}" for number in range(fans))
    for name in names:
        api.post(f"/accounts/{account['id']}/fans", {"external_id": name, "name": name.title()})
    return Creator(str(account["id"]), external_id, names)


def new_campaign(api: Api, *creators: Creator, key: str | None = None, **fields: Any) -> str:
    """The id of a new campaign to all fans of these accounts."""
    body = {
        "name": "Golden hour",
        "type": "mass_message",
        "brief": "New photographs, taken at sunset on the beach.",
        "accounts": [creator.id for creator in creators],
        **fields,
    }
    return str(api.post("/campaigns/hybrid", body, key=key)["id"])


def status_of(api: Api, campaign: str) -> Any:
    return api.get(f"/campaigns/status/{campaign}")


def wait_for_status(api: Api, campaign: str, *wanted: str, seconds: float = 120) -> Any:
    """The campaign's status once it is one of these. Fails at once when it is over as something else."""
    seen: dict[str, Any] = {}

    def reached() -> bool:
        seen.update(status_of(api, campaign))
        over = seen["status"] in OVER and seen["status"] not in wanted
        assert not over, f"the campaign is {seen['status']} ({seen['reason']}), not {' or '.join(wanted)}"
        return seen["status"] in wanted

    try:
        wait_until(reached, seconds=seconds, what=f"a campaign that is {' or '.join(wanted)}", every=0.3)
    except TooLateError as error:
        raise AssertionError(f"{error}; it is {seen['status']}, {seen['counts']}") from error
    return seen


def wait_for_sent(api: Api, campaign: str, number: int, *, seconds: float = 60) -> Any:
    """The campaign's status once so many of its messages are sent."""

    def reached() -> Any:
        status = status_of(api, campaign)
        return status if status["counts"]["sent"] >= number else None

    return wait_until(reached, seconds=seconds, what=f"{number} messages sent", every=0.2)


def approve(api: Api, campaign: str) -> None:
    """Approve, even where the answer to an earlier try was lost."""
    try:
        api.post(f"/campaigns/{campaign}/approve")
    except Refused as refusal:
        if (
            refusal.code != "not_awaiting_approval"
            or status_of(api, campaign)["status"] == "awaiting_approval"
        ):
            raise


@dataclass
class Platform:
    """The platform's stand-in: what it is told to do wrong, and what it saw."""

    url: str

    def faults(self, *rules: Mapping[str, Any], **document: Any) -> None:
        http.put(f"{self.url}/faults", json={"rules": rules, **document}).raise_for_status()

    def heal(self) -> None:
        http.delete(f"{self.url}/faults").raise_for_status()

    def arrivals(self, creator: Creator) -> list[dict[str, Any]]:
        answer = http.get(f"{self.url}/arrivals", params={"account": creator.external_id}).raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]

    def deliveries(self, creator: Creator) -> Counter[str]:
        """How many messages each fan got."""
        return Counter(each["recipient"] for each in self.arrivals(creator) if each["accepted"])

    def fullest_window(self, creator: Creator, *, seconds: float) -> int:
        """The most arrivals that any window of so many seconds saw, by the platform's clock."""
        audit = http.get(f"{self.url}/audit", params={"seconds": seconds}).raise_for_status().json()
        return int(audit["accounts"].get(creator.external_id, {"worst": 0})["worst"])


def check_delivered_once(platform: Platform, *creators: Creator, seconds: float = 5, count: int = 10) -> None:
    """Every fan got exactly one message, and no window more than its share."""
    for creator in creators:
        delivered = platform.deliveries(creator)
        assert delivered == Counter(creator.fans), _difference(creator, delivered)
        worst = platform.fullest_window(creator, seconds=seconds)
        assert worst <= count, f"{worst} messages arrived for {creator.external_id} within {seconds} s"


def _difference(creator: Creator, delivered: Counter[str]) -> str:
    missing = [fan for fan in creator.fans if not delivered[fan]]
    twice = {fan: number for fan, number in delivered.items() if number > 1}
    strangers = set(delivered) - set(creator.fans)
    return f"without a message: {missing}; with several: {twice}; strangers: {strangers}"


def query(services: Stack, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Read the stack's database as the superuser, whom no policy hides anything from."""
    url = services.urls.superuser
    with psycopg.connect(url, dbname="huntaze", row_factory=psycopg.rows.tuple_row) as connection:
        return connection.execute(sql, parameters).fetchall()
