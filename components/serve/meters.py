"""What /metrics shows, in Prometheus' text format."""

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from components.serve.access.envelope import Answered

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Meters:
    """Counters of one gateway, each in a registry of its own, so that two gateways of one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("vitrine_requests", "Answers, by route and status", ["route", "status"], registry=self.registry)
        self.seconds = Histogram("vitrine_request_seconds", "Time to answer", ["route"], registry=self.registry, buckets=SECONDS)
        self.problems = Counter("vitrine_problems", "Refusals, by code", ["code"], registry=self.registry)
        self.empty = Counter("vitrine_empty_answers", "Similar items asked for, none found", ["release"], registry=self.registry)
        self.ready = Gauge("vitrine_ready", "1 where the gateway may be asked", registry=self.registry)
        self.golden_cosine = Gauge("vitrine_golden_cosine", "Lowest cosine of a golden vector", ["release"], registry=self.registry)
        self.items = Gauge("vitrine_items", "Items that can be found", ["release"], registry=self.registry)
        self.quarantined = Gauge("vitrine_quarantined_pictures", "Pictures that are refused unseen", registry=self.registry)
        self.decoder = Gauge("vitrine_decoder", "Pictures by what became of them in the decoding workers", ["what"], registry=self.registry)
        self.in_flight = Gauge("vitrine_in_flight", "Requests being worked on", registry=self.registry)
        self.log_rows = Gauge("vitrine_log_backlog_rows", "Events not yet in the object store", registry=self.registry)
        self.log_bytes = Gauge("vitrine_log_backlog_bytes", "Their size", registry=self.registry)
        self.dropped = Gauge("vitrine_predictions_dropped", "Sampled predictions that the log had no room for", registry=self.registry)
        gauge, registry = functools.partial(Gauge, registry=self.registry), self.registry
        self.channel_revision = gauge("vitrine_channel_revision", "Revision of the channel record that the gateway goes by")
        self.channel_age = gauge("vitrine_channel_age_seconds", "Since the channel record was read last")
        self.channel_readable = gauge("vitrine_channel_readable", "1 where the last look at the channel record read it")
        self.rollbacks_unwritten = gauge("vitrine_rollbacks_unwritten", "Rollbacks that hold here and are not in the registry yet")
        self.candidate_stands = gauge("vitrine_candidate_stands", "1 where the candidate answers here", ["release", "why_not"])
        self.turned_away = Counter("vitrine_canary_turned_away", "Canary users answered by the stable release", registry=registry)
        self.fallbacks = Counter("vitrine_canary_fallbacks", "Failures of a candidate made good by the stable release", registry=registry)
        self.shadows = Counter("vitrine_shadows", "Requests that a candidate's shadow was asked", ["what"], registry=registry)
        self.answers_logged = gauge("vitrine_answers_logged", "Rows of the answers log that are kept, since the start")
        self.answers_dropped = gauge("vitrine_answers_dropped", "Rows of the answers log that there was no room for, since the start")
        self.log_age = Gauge("vitrine_log_backlog_age_seconds", "Age of the oldest", registry=self.registry)

    def count(self, request: Answered) -> None:
        """Counts a request that was answered."""
        route = request.route or "none"
        self.requests.labels(route, str(request.status)).inc()
        self.seconds.labels(route).observe(request.seconds)
        if request.code:
            self.problems.labels(request.code).inc()

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)
