"""What Prometheus may ask of a server. Owns names and kinds of its figures; counts what it is told."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from assay.serve.champion import Champion

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self, champion: Champion) -> None:
        self._registry = one = CollectorRegistry()
        self._requests = Counter("assay_requests", "Requests by status.", ["status"], registry=one)
        self._seconds = Histogram(
            "assay_request_seconds", "From a request's head to its answer.", registry=one, buckets=SECONDS
        )
        self._samples = Counter("assay_samples", "Samples answered for.", registry=one)
        self._batch = Histogram("assay_batch_samples", "Samples of a batch.", registry=one, buckets=SIZES)
        version = Gauge("assay_model_version", "Version of the registered model that answers.", registry=one)
        version.set_function(lambda: champion.served.number)
        looked = Gauge(
            "assay_registry_seen_timestamp_seconds", "When the registry last told who is champion.", registry=one
        )
        looked.set_function(lambda: champion.looked)
        ProcessCollector(namespace="assay", registry=one)

    def answered(self, status: int, seconds: float) -> None:
        """A request has ended."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def batched(self, samples: int) -> None:
        """A batch is being computed."""
        self._samples.inc(samples)
        self._batch.observe(samples)

    def text(self) -> bytes:
        """All of them, in Prometheus's own form."""
        return generate_latest(self._registry)
