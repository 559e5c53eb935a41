"""Take what is new in the ledger into its roll-ups, and print how many seconds it took."""

import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
django.setup()

from apps.costs.services import rollups  # noqa: E402 -- Django has to be set up first


def main() -> None:
    rollups.watermark()  # so that connecting isn't measured
    began = time.perf_counter()
    if not rollups.roll_up():
        raise SystemExit("somebody else is at the roll-ups")
    sys.stdout.write(f"{time.perf_counter() - began}\n")


if __name__ == "__main__":
    main()
