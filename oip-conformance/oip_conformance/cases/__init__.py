"""All cases by topic, in the order in which the suite runs them."""

from oip_conformance.case import Topic
from oip_conformance.cases import (
    afterwards,
    binary,
    classification,
    compression,
    health,
    http,
    inference,
    malformed,
    malformed_binary,
    malformed_http,
    raw,
    refusals,
    repository,
    statistics,
)

TOPICS: tuple[Topic, ...] = (
    health.topic,
    inference.topic,
    refusals.topic,
    malformed.topic,
    binary.topic,
    malformed_binary.topic,
    raw.topic,
    classification.topic,
    compression.topic,
    statistics.topic,
    statistics.configuration,
    repository.topic,
    repository.scheduling,
    http.topic,
    malformed_http.topic,
    malformed.hazards,
    afterwards.topic,
)
