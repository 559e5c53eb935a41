from typing import Any

from django.core.management.base import BaseCommand

from apps.costs.services import rollups


class Command(BaseCommand):
    help = "After the database was restored from a dump: tell the ledger, and make all roll-ups anew."

    def handle(self, *args: Any, **options: Any) -> None:
        generation = rollups.raise_ledger_generation()
        rollups.recompute()
        self.stdout.write(f"The ledger is at generation {generation}, and the roll-ups are made anew.")
