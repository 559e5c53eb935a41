"""Ask URLs in turn, one at a time, and print the 95th percentile of the time to the last byte, in ms.

The key comes in HUNTAZE_KEY.
"""

import argparse
import os
import sys
import time

import httpx2

from tests.performance.arrivals import percentile

_WARM_UP = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.report_load", description=__doc__)
    parser.add_argument("times", type=int)
    parser.add_argument("urls", nargs="+")
    given = parser.parse_args()
    took = []
    headers = {"Authorization": f"Bearer {os.environ['HUNTAZE_KEY']}"}
    with httpx2.Client(headers=headers, timeout=30) as client:
        for number in range(_WARM_UP + given.times):
            began = time.perf_counter()
            client.get(given.urls[number % len(given.urls)]).raise_for_status()
            took.append(1000 * (time.perf_counter() - began))
    sys.stdout.write(f"{percentile(took[_WARM_UP:], 0.95)}\n")


if __name__ == "__main__":
    main()
