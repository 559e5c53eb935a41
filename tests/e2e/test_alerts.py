"""From a question to the AI to an e-mail and a message in Slack, in a stack as in production."""

import json
from pathlib import Path

import pytest

from tests.live import live_stack, new_agency
from tests.notifications.receivers import receiver
from tests.services import HOME
from tests.waiting import wait_until

pytestmark = pytest.mark.long

PROCESSES = ("sandbox-ai", "web", "beat", "worker-ai", "worker-costs", "worker-notifications")
# A budget of a millionth of a dollar: any answer is more, and it doesn't refuse.
BUDGET = """
from decimal import Decimal
from django.utils import timezone
from apps.costs.services.budgets import create_budget
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
with system_transaction():
    tenant = Tenant.objects.get()
create_budget(tenant_id=tenant.pk, limit=Decimal("0.000001"), mode="watch", now=timezone.now())
"""


def test_a_budget_that_is_spent_is_told_of_within_seconds() -> None:
    home = HOME / "alerts"
    with receiver() as slack:
        environment = {
            "COST_ALERT_EMAIL": "ops@huntaze.example",
            "SLACK_WEBHOOK_URL": slack.url,
            "HUNTAZE_PRIVATE_TARGETS": "true",
        }
        with live_stack(home, only=PROCESSES, environment=environment) as services:
            ada = new_agency(services)
            services.manage("shell", "-c", BUDGET)

            ada.post("/../ai-assistant/generate", {"task": "caption", "input": "A boat at dusk."})

            wait_until(lambda: slack.posts, seconds=15, what="a message in Slack")
            (mail,) = wait_until(
                lambda: list((home / "mail").glob("*.eml")) if (home / "mail").exists() else [],
                seconds=15,
                what="a mail",
            )
            alerts = ada.get("/costs/alerts", rule="budget_threshold")["results"]
            _check_that_it_was_told_once(alerts, mail, slack.posts[0].body)
            assert len(slack.posts) == 1


def _check_that_it_was_told_once(alerts: list[dict[str, object]], mail: Path, post: bytes) -> None:
    assert sorted(str(alert["level"]) for alert in alerts) == ["critical", "warning", "warning"]
    (told,) = [alert for alert in alerts if alert["deliveries"]]
    assert told["level"] == "critical"
    assert "To: ops@huntaze.example" in mail.read_text()
    assert "100 % of the budget" in json.loads(post)["text"]
