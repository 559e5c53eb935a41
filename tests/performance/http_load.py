"""Load a URL from some connections for some seconds, and print the requests answered per second."""

import argparse
import asyncio
import sys
import time

import aiohttp

_WARM_UP_SECONDS = 0.5


async def load(url: str, *, connections: int, seconds: float) -> float:
    """Requests per second. Each connection asks again when it has its answer; any but 200 is an error."""
    started = time.monotonic() + _WARM_UP_SECONDS
    ends = started + seconds

    async def ask() -> int:
        answered = 0
        while time.monotonic() < ends:
            async with session.get(url) as response:
                await response.read()
                response.raise_for_status()
            answered += started <= time.monotonic() < ends
        return answered

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        return sum(await asyncio.gather(*(ask() for _ in range(connections)))) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.http_load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    rate = asyncio.run(load(given.url, connections=given.connections, seconds=given.seconds))
    sys.stdout.write(f"{rate}\n")


if __name__ == "__main__":
    main()
