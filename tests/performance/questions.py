"""Leave questions of a tenant and their hints, and print nothing. The broker is the environment's."""

import argparse
import os
from uuid import UUID

import django


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.questions", description=__doc__)
    parser.add_argument("tenant", type=UUID)
    parser.add_argument("number", type=int)
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
    django.setup()
    from apps.ai.services.generations import request_generation
    from apps.tenants.doors import tenant_transaction
    from tasks.ai import run_generation

    with tenant_transaction(given.tenant):
        rows = [
            request_generation(
                tenant_id=given.tenant,
                prompt_key="assistant_caption",
                # No two are the same, or one call would answer both.
                variables={"input": f"Photograph {number} of the lake.", "variables": {}},
            )
            for number in range(given.number)
        ]
    for row in rows:
        run_generation.delay(generation_id=str(row.pk))


if __name__ == "__main__":
    main()
