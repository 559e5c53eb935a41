"""What became of answers that were offered to the cache."""

from prometheus_client import Counter

# The others are the script's own words.
AWAY, NOT_OFFERED = b"away", b"not_asked"

cache_writes = Counter(
    "huntaze_ai_cache_writes",
    "Answers offered to the cache, by what became of them: stored, too_large, no_memory, refused, away.",
    ["result"],
)


def written(result: bytes) -> None:
    """Count what the script says became of an answer."""
    if result != NOT_OFFERED:
        cache_writes.labels(result.decode()).inc()
