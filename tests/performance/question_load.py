"""Keep some questions in flight, and print how long a campaigns' status takes meanwhile, in ms.

Three numbers: the 50th and 95th percentile and the longest. The key comes in HUNTAZE_KEY.
"""

import argparse
import asyncio
import itertools
import os
import sys
import time

import aiohttp

from tests.performance.arrivals import percentile

ASK = "/api/ai-assistant/generate"
LOOK = "/api/v2/campaigns/status"
# Looks begin at this distance, whatever became of those before.
EVERY_S = 0.05


class Load:
    """Those who ask, each anew as soon as it has its answer, and the one who looks."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._numbers = itertools.count()
        self.in_flight = 0
        self.fewest = 10**9
        self.took: list[float] = []

    async def ask(self, *, after: float) -> None:
        """Ask for ever. No two questions are the same, or one call would answer both."""
        await asyncio.sleep(after)
        while True:
            question = {"task": "caption", "input": f"Photograph {next(self._numbers)} of {os.getpid()}."}
            self.in_flight += 1
            try:
                async with self._session.post(ASK, json=question) as response:
                    if response.status != 200:
                        raise SystemExit(f"{response.status} {await response.text()}")
            finally:
                self.in_flight -= 1

    async def look(self) -> None:
        started = time.perf_counter()
        async with self._session.get(LOOK) as response:
            await response.read()
            response.raise_for_status()
        self.took.append(time.perf_counter() - started)

    async def look_for(self, seconds: float) -> None:
        self.took.clear()
        async with asyncio.TaskGroup() as looks:
            for _ in range(round(seconds / EVERY_S)):
                looks.create_task(self.look())
                self.fewest = min(self.fewest, self.in_flight)
                await asyncio.sleep(EVERY_S)


async def measure(url: str, *, number: int, provider: float, seconds: float) -> Load:
    """Questions begin spread over the time that a provider takes, so that they end spread over it as well."""
    headers = {"Authorization": f"Bearer {os.environ['HUNTAZE_KEY']}"}
    # A connection each: on a kept one the server may hang up while a question is under way to it.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:
        load = Load(session)
        asking = [asyncio.create_task(load.ask(after=provider * place / number)) for place in range(number)]
        await load.look_for(provider + 1)  # until all are in flight
        load.fewest = number
        await load.look_for(seconds)
        for each in asking:
            if each.done():
                each.result()
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return load


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.question_load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("number", type=int)
    parser.add_argument("provider", type=float, help="seconds that the provider takes")
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    load = asyncio.run(
        measure(given.url, number=given.number, provider=given.provider, seconds=given.seconds)
    )
    if load.fewest < given.number * 0.9:
        sys.exit(f"only {load.fewest} of {given.number} questions were in flight")
    figures = (percentile(load.took, 0.5), percentile(load.took, 0.95), max(load.took))
    sys.stdout.write(" ".join(f"{each * 1000:.1f}" for each in figures) + "\n")


if __name__ == "__main__":
    main()
