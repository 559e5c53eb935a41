"""The metrics as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

Samples = dict[tuple[str, ...], float]


def read_samples(text: str) -> Samples:
    """Every sample by its name and the values of its labels in the labels' order."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape() -> Samples:
    response = APIClient().get("/api/metrics")
    assert response.status_code == 200
    return read_samples(response.content.decode())
