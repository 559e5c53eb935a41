"""Calls of the bare openai client from a pool of threads; prints how many seconds all of them took."""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from openai import OpenAI


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.peers.bare_openai")
    parser.add_argument("calls", type=int)
    parser.add_argument("threads", type=int)
    given = parser.parse_args()
    client = OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="sandbox", max_retries=0)

    def call(number: int) -> None:
        question = f"Write one caption for photograph {number} of the lake."
        client.chat.completions.create(
            model="gpt-3.5-turbo", messages=[{"role": "user", "content": question}], max_tokens=300
        )

    with ThreadPoolExecutor(given.threads) as pool:
        list(pool.map(call, [-1]))  # which loads what the first call does
        started = time.monotonic()
        list(pool.map(call, range(given.calls)))
    sys.stdout.write(f"{time.monotonic() - started}\n")


if __name__ == "__main__":
    main()
