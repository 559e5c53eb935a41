from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from apps.ai.models import Deployment, ModelClass, Provider
from apps.costs.models import Price
from apps.costs.price_list import UnusableError, listed_price
from apps.costs.services.prices import ensure_prices
from apps.tenants.system import system_transaction


class Command(BaseCommand):
    help = "Enter the configured deployments, if there are none, and the list prices of known models."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        with system_transaction():
            if not Deployment.objects.exists():
                _make_deployments(now)
            named = Deployment.objects.order_by().values_list("provider", "model").distinct()
            made = ensure_prices(now=now, models=list(named))
            unpriced = [
                each
                for each in Deployment.objects.filter(enabled=True)
                if not Price.objects.in_force(provider=each.provider, model=each.model, at=now)
            ]
        self.stdout.write(f"{made} prices entered.")
        for each in unpriced:
            self.stderr.write(
                f"{each.model} at {each.provider} has no price, so “{each.name}” won't be called: "
                "enter its price under Costs, Prices."
            )


def _make_deployments(now: datetime) -> None:
    named = settings.AZURE_OPENAI_DEPLOYMENT
    Deployment.objects.create(
        name="azure",
        provider=Provider.AZURE,
        # Azure's deployments may be called anything; most are called like their model.
        model=named if _is_listed(named, now) else "gpt-4o",
        azure_deployment=named,
        model_class=ModelClass.ADVANCED,
    )
    Deployment.objects.create(
        name="openai",
        provider=Provider.OPENAI,
        model=settings.OPENAI_MODEL,
        model_class=ModelClass.STANDARD,
    )


def _is_listed(name: str, now: datetime) -> bool:
    try:
        return listed_price(provider=Provider.AZURE, model=name, at=now) is not None
    except UnusableError:
        return True  # the list knows it, but not what the ledger would enter
