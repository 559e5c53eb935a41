"""Whether every attempt at a provider is accounted for, as the database tells."""

from huntaze.stack import Stack
from tests.live import Api, query, status_of

_HOLDS = """
SELECT hold.state, count(*), count(entry.id)
FROM costs_hold hold
LEFT JOIN costs_ledgerentry entry
  ON entry.generation_id = hold.generation_id AND entry.attempt = hold.attempt AND entry.sequence = 0
WHERE hold.campaign_id = %s
GROUP BY hold.state
"""
_ATTEMPTS = "SELECT sum(attempts) FROM ai_generation WHERE campaign_id = %s"
_SPENT = "SELECT sum(amount)::text FROM costs_ledgerentry WHERE campaign_id = %s"


def check_books(services: Stack, api: Api, campaign: str) -> None:
    """Every attempt had a hold, every hold has ended, and what may have been billed is in the ledger."""
    holds = {state: (number, entered) for state, number, entered in query(services, _HOLDS, campaign)}
    assert "held" not in holds, f"{holds['held'][0]} holds were never ended"
    settled, entered = holds["settled"]
    assert settled == entered
    assert holds.get("released", (0, 0))[1] == 0
    attempts = query(services, _ATTEMPTS, campaign)[0][0]
    assert attempts == sum(number for number, _ in holds.values())
    spent = query(services, _SPENT, campaign)[0][0]
    assert float(status_of(api, campaign)["cost"]["amount"]) == float(spent) > 0
