"""`make demo`: a real campaign, from the brief to the last message, through the public HTTP API.

The platform is always the stand-in of apps/sandbox; the AI too, unless DEMO_REAL_AI=1.
"""

import os
import secrets
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from huntaze import stack
from huntaze.places import StartError

# Fans by account. The limit is 10 messages a minute, so the first account has to wait for its second window.
FANS = {"Aurora": 18, "Bianca": 10, "Celeste": 8}
DEADLINE_S = 600
REAL_AI = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "OPENAI_BASE_URL")

# A pipe has no width of its own.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class DemoError(Exception):
    """The demo didn't come out as it must."""


@dataclass
class Api:
    """The public API as one tenant. Any answer that isn't a success ends the demo with what it said."""

    client: httpx2.Client

    def get(self, path: str, **query: Any) -> Any:
        return self._answer(self.client.get(path, params=query))

    def post(self, path: str, body: Any = None) -> Any:
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self._answer(self.client.post(path, json=body, headers=headers))

    def _answer(self, response: httpx2.Response) -> Any:
        if response.is_error:
            raise DemoError(f"{response.request.method} {response.request.url}: {response.text}")
        return response.json()

    def every(self, path: str, **query: Any) -> list[Any]:
        """All pages of a list."""
        page = self.get(path, limit=200, **query)
        rows = list(page["results"])
        while page["next"]:
            page = self._answer(self.client.get(page["next"]))
            rows += page["results"]
        return rows


def run() -> None:
    started = time.monotonic()
    overrides: dict[str, str | None] = {"ONLYFANS_API_URL": None}
    if os.environ.get("DEMO_REAL_AI") != "1":
        overrides |= dict.fromkeys(REAL_AI)
    with stack.running(env_overrides=overrides, say=say) as services:
        key = new_tenant(services)
        with httpx2.Client(
            base_url=f"{services.base_url}/api/v2", headers={"Authorization": f"Bearer {key}"}, timeout=30
        ) as client:
            api = Api(client)
            accounts = [new_account(api, name, fans) for name, fans in FANS.items()]
            console.print(f"Set up in {time.monotonic() - started:.1f} s.")
            since = time.time()
            campaign = run_campaign(api, accounts)
            report(api, services, campaign, sum(FANS.values()), since)
    console.print(
        "\nNext: [bold]make up[/] starts the same stack and prints its URLs and logins."
        f"\nThis campaign is in the admin under Campaigns ({campaign['id']}), messages and costs beside it."
    )


def say(line: str) -> None:
    console.print(f"[dim]{line}[/]")


def new_tenant(services: stack.Stack) -> str:
    """A tenant of this run's own, so that the demo can be run again. Returns an API key."""
    name = f"Demo agency {secrets.token_hex(3)}"
    services.manage("create_tenant", name, "--email", f"owner-{secrets.token_hex(3)}@example.com")
    return services.manage("create_api_key", name, "--role", "owner").strip()


def new_account(api: Api, name: str, fans: int) -> str:
    number = secrets.token_hex(4)
    account = api.post(
        "/accounts",
        {
            "platform": "onlyfans",
            "external_id": f"{name.lower()}-{number}",
            "name": name,
            "credential": secrets.token_urlsafe(),
        },
    )
    for index in range(1, fans + 1):
        api.post(
            f"/accounts/{account['id']}/fans",
            {
                "external_id": f"fan-{number}-{index}",
                "name": f"Fan {index}",
                "spend": str(index * 5),
                "attributes": {"vip": index % 5 == 0},
            },
        )
    return str(account["id"])


def run_campaign(api: Api, accounts: list[str]) -> Any:
    """Create, look at the preview, approve, and watch it to its end."""
    began = time.monotonic()
    campaign = api.post(
        "/campaigns/hybrid",
        {
            "name": "Golden hour",
            "type": "ppv",
            "brief": "New photographs, taken at sunset on the beach. Offer them to everybody who follows us.",
            "tone": "warm, playful",
            "price": "12.00",
            "accounts": accounts,
        },
    )
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("planning", total=1, note="")
        while True:
            status = api.get(f"/campaigns/status/{campaign['id']}")
            counts = status["counts"]
            note = f"{counts['sent']} sent, {counts['queued']} queued" if any(counts.values()) else ""
            progress.update(
                bar, completed=status["progress"], description=status["status"].replace("_", " "), note=note
            )
            if status["status"] == "awaiting_approval":
                show_preview(api, campaign["id"], progress.console)
                api.post(f"/campaigns/{campaign['id']}/approve")
            if status["status"] in ("finished", "failed", "cancelled"):
                break
            if time.monotonic() - began > DEADLINE_S:
                raise DemoError(f"the campaign is still {status['status']} after {DEADLINE_S} s")
            time.sleep(0.5)
    if status["status"] != "finished":
        raise DemoError(f"the campaign ended as {status['status']}: {status['reason']}")
    console.print(f"The campaign took {time.monotonic() - began:.1f} s.")
    return status


def show_preview(api: Api, campaign_id: str, out: Console) -> None:
    preview = api.get(f"/campaigns/{campaign_id}/preview")
    sample = preview["samples"][0]
    out.print(f"Plan: {preview['plan']['summary']}")
    out.print(f"To {sample['fan_name']}, one of {preview['recipients']}: {sample['text']}")
    out.print("Approved.")


def report(api: Api, services: stack.Stack, campaign: Any, fans: int, since: float) -> None:
    """What was sent, what the platform saw, and what it cost. Raises DemoError if a promise was broken."""
    console.print(counts_table(campaign["counts"]))
    audit = httpx2.get(f"{services.gateway_url}/audit", params={"seconds": 60, "limit": 10, "since": since})
    seen = audit.raise_for_status().json()
    console.print(audit_table(seen))
    console.print(cost_table(api.every("/generations", campaign=campaign["id"])))
    broken = [
        f"{campaign['counts']['sent']} of {fans} messages were sent" * (campaign["counts"]["sent"] != fans),
        f"the platform accepted {seen['accepted']} messages, not {fans}" * (seen["accepted"] != fans),
        "a limit was exceeded" * (not seen["within_limit"]),
        "a message was sent twice" * bool(seen["duplicates_by_key"] or seen["duplicates_by_text"]),
    ]
    if any(broken):
        raise DemoError("; ".join(filter(None, broken)))


def counts_table(counts: dict[str, int]) -> Table:
    table = Table(*counts, title="Messages by state")
    table.add_row(*(str(count) for count in counts.values()))
    return table


def audit_table(seen: Any) -> Table:
    """The platform's own count of what arrived, by its own clock."""
    table = Table("Seen by the platform", "", title="Audit")
    table.add_row("messages accepted", str(seen["accepted"]))
    table.add_row("most in any 60 s from one account (limit 10)", str(seen["worst_account"]["count"]))
    table.add_row("most in any 60 s to one fan (limit 10)", str(seen["worst_recipient"]["count"]))
    table.add_row("sent twice, by key", str(seen["duplicates_by_key"]))
    table.add_row("sent twice, by text to the same fan", str(seen["duplicates_by_text"]))
    return table


def cost_table(generations: list[Any]) -> Table:
    """Calls, tokens and cost by provider and model."""
    table = Table("Provider", "Model", "Calls", "Tokens in", "Tokens out", "USD", title="Cost")
    groups = sorted({(each["provider"], each["model"]) for each in generations})
    for group in groups:
        rows = [each for each in generations if (each["provider"], each["model"]) == group]
        table.add_row(*group, *totals(rows))
    table.add_row("all", "", *totals(generations))
    return table


def totals(generations: list[Any]) -> list[str]:
    return [
        str(sum(each["attempts"] for each in generations)),
        str(sum(each["usage"]["input_tokens"] for each in generations)),
        str(sum(each["usage"]["output_tokens"] for each in generations)),
        str(sum(Decimal(each["cost"]["amount"]) for each in generations)),
    ]


def main() -> None:
    try:
        run()
    except (StartError, DemoError, httpx2.HTTPError) as error:
        sys.exit(f"huntaze: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
