"""The stand-in for a platform's gateway: accepts messages, keeps a ledger of arrivals, audits it."""
