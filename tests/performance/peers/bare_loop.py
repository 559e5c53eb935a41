"""The least that dispatch can be: claim 250 rows, a Lua call for each, requests, one update, and again.

It has no leases, no states between queued and sent, no pauses, no policies, no counters, and loses or doubles
what is under way when it dies. What it knows of a message is what the request needs.
"""

import argparse
import asyncio
import os
import time
from typing import Any

import aiohttp
import psycopg
import redis

AT_ONCE = 250
CONNECTIONS = 64
WIDE = 1_000_000
WINDOW_MS = 60_000
READY, GO = "bare-loop:ready", "bare-loop:go"
_GO_AFTER_AT_MOST_S = 60

_CLAIM = """
SELECT message.id, account.external_id, fan.external_id, message.text, message.tenant_id, message.account_id,
       message.fan_id
FROM messaging_message message
JOIN messaging_account account ON account.id = message.account_id
JOIN messaging_fan fan ON fan.id = message.fan_id
WHERE message.state = 'queued' LIMIT %s
FOR UPDATE OF message SKIP LOCKED
"""
_SENT = """
UPDATE messaging_message SET state = 'sent', sent_at = now(), finished_at = now(), platform_id = 'taken'
WHERE id = ANY(%s)
"""
# A sliding log for each layer, all or nothing.
_LIMIT = """
for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1] - ARGV[4])
  if redis.call('ZCARD', key) >= tonumber(ARGV[3]) then return 0 end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, ARGV[1], ARGV[2])
  redis.call('PEXPIRE', key, ARGV[4])
end
return 1
"""


def allowed(logs: "redis.Redis", script: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    now = round(time.time() * 1000)
    with logs.pipeline(transaction=False) as pipeline:
        for message, _, _, _, tenant, account, fan in rows:
            keys = ("bare:global", f"bare:t:{tenant}", f"bare:a:{account}", f"bare:f:{fan}")
            pipeline.evalsha(script, len(keys), *keys, now, str(message), WIDE, WINDOW_MS)
        return [row for row, yes in zip(rows, pipeline.execute(), strict=True) if yes]


async def send(session: aiohttp.ClientSession, url: str, row: tuple[Any, ...]) -> None:
    message, account, recipient, text, *_ = row
    headers = {"Authorization": "Bearer token", "Idempotency-Key": str(message)}
    async with session.post(
        f"{url}/accounts/{account}/chats/{recipient}/messages",
        json={"text": text, "price": None, "media": []},
        headers=headers,
    ) as answer:
        await answer.read()
        answer.raise_for_status()


async def run(url: str, database: str, logs: "redis.Redis") -> None:
    script = str(logs.script_load(_LIMIT))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    with psycopg.connect(database, dbname="huntaze") as connection:
        async with aiohttp.ClientSession(connector=connector) as session:
            logs.rpush(READY, os.getpid())
            logs.blpop([GO], timeout=_GO_AFTER_AT_MOST_S)
            while rows := connection.execute(_CLAIM, [AT_ONCE]).fetchall():
                granted = allowed(logs, script, rows)
                await asyncio.gather(*(send(session, url, row) for row in granted))
                connection.execute(_SENT, [[row[0] for row in granted]])
                connection.commit()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.peers.bare_loop", description=__doc__)
    parser.add_argument("gateway")
    parser.add_argument("database")
    parser.add_argument("redis")
    given = parser.parse_args()
    asyncio.run(run(given.gateway, given.database, redis.Redis.from_url(given.redis)))


if __name__ == "__main__":
    main()
