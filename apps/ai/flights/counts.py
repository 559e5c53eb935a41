"""What became of answers that were offered to the cache."""

from prometheus_client import Counter

cache_writes = Counter(
    "huntaze_ai_cache_writes",
    "Answers offered to the cache, by what became of them: stored, too_large, no_memory, refused, away.",
    ["result"],
)
