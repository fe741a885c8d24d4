"""Triton's statistics and model configuration extensions, as perf_analyzer reads them."""

from typing import Any

from oip_conformance.answer import Answer
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation
from oip_conformance.expecting import document_of, has, listed, refused, succeeded
from oip_conformance.sources import CONFIGURATION, PERF_ANALYZER, STATISTICS
from oip_conformance.subject import Subject

topic = Topic("Statistics", "statistics")
configuration = Topic("Model configuration", "model_configuration")

_DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_PATHS = f'{STATISTICS}: "GET v2/models[/${{MODEL_NAME}}[/versions/${{MODEL_VERSION}}]]/stats"'
_CONFIG = f'{CONFIGURATION}: "A successful model configuration request is indicated by a 200 HTTP status code."'


@topic.extended("stats", "GET /v2/models/M/stats answers the statistics of the model", _PATHS)
def stats(subject: Subject) -> None:
    _statistics(subject)


@topic.extended("stats-version", "GET /v2/models/M/versions/V/stats answers the same of that version", _PATHS)
def stats_version(subject: Subject) -> None:
    _of_the_model(subject, subject.get(f"{subject.versioned}/stats"))


@topic.extended(
    "stats-all",
    "GET /v2/models/stats answers the statistics of all models",
    f'{STATISTICS}: "if not provided Triton will return the statistics for all versions of all models"',
)
def stats_all(subject: Subject) -> None:
    _of_the_model(subject, subject.get("/v2/models/stats"))


@topic.extended(
    "stats-durations",
    "Each kind of duration has a count and nanoseconds",
    f'{STATISTICS}: "“success” : The count and cumulative duration for all successful inference requests."; '
    f"{PERF_ANALYZER} takes the difference of two readings",
)
def stats_durations(subject: Subject) -> None:
    durations = has(_statistics(subject), "inference_stats", dict, "an object")
    for key in _DURATIONS:
        duration = has(durations, key, dict, "an object")
        has(duration, "count", int, "an integer")
        has(duration, "ns", int, "an integer")


@topic.extended(
    "stats-count",
    "inference_count grows by the batch of a request, and success by one",
    f'{STATISTICS}: "Each inference in a batched request is counted as an individual inference."',
)
def stats_count(subject: Subject) -> str:
    batch = 2 if subject.is_batched and subject.has_json else 1
    before = _counts(subject)
    succeeded(subject.post(subject.document(batch=batch)) if subject.has_json else subject.good())
    after = _counts(subject)
    grown = tuple(late - early for early, late in zip(before, after, strict=True))
    if grown[0] < batch or grown[1] < 1:  # other clients may send requests too
        raise Deviation(f"{batch} inferences and 1 success more", f"{grown[0]} and {grown[1]}")
    return f"{grown[0]} inferences and {grown[1]} success more"


@topic.extended(
    "stats-unknown-model",
    "A request for the statistics of an unknown model is refused",
    f'{STATISTICS}: "A failed statistics request will be indicated by an HTTP error status (typically 400)."',
)
def stats_unknown_model(subject: Subject) -> str:
    return refused(subject.get("/v2/models/no-such-model-9f2c/stats"))


@configuration.extended("config", "GET /v2/models/M/config answers a JSON object", _CONFIG)
def config(subject: Subject) -> str:
    document = document_of(subject.get(f"{subject.path}/config"))
    return ", ".join(list(document)[:6])


@configuration.extended(
    "config-version", "GET /v2/models/M/versions/V/config answers the same of that version", _CONFIG
)
def config_version(subject: Subject) -> None:
    document_of(subject.get(f"{subject.versioned}/config"))


@configuration.extended(
    "config-unknown-model",
    "A request for the configuration of an unknown model is refused",
    f'{CONFIGURATION}: "A failed model configuration request must be indicated by an HTTP error status (typically '
    '400)."',
)
def config_unknown_model(subject: Subject) -> str:
    return refused(subject.get("/v2/models/no-such-model-9f2c/config"))


@configuration.extended(
    "config-batch",
    "A configuration has name, max_batch_size, and name, data_type and dims of each input and output",
    f"{PERF_ANALYZER} ModelParser: reads max_batch_size, input, output, and that dims leave the batch out",
)
def config_batch(subject: Subject) -> str:
    document = document_of(subject.get(f"{subject.path}/config"))
    has(document, "name", str, "a string")
    most = document.get("max_batch_size", 0)
    if type(most) is not int:
        raise Deviation("max_batch_size, an integer", f"{most!r:.60}")
    for key in ("input", "output"):
        for tensor in listed(document.get(key), dict, f"{key}, a list of objects"):
            name = has(tensor, "name", str, "a string")
            has(tensor, "data_type", str, f"as TYPE_FP32, for {name!r}")
            if not all(str(size).lstrip("-").isdecimal() for size in _any(tensor.get("dims"), name)):
                raise Deviation(f"dims of integers for {name!r}", f"{tensor['dims']!r:.60}")
    return f"max_batch_size {most}"


def _any(value: Any, name: str) -> list[Any]:
    """Check that the dims are a list, and return it. Protobuf's JSON may contain 64-bit integers as strings.

    Raises:
        Deviation: they are not.
    """
    if not isinstance(value, list):
        raise Deviation(f"dims, a list, for {name!r}", f"{value!r:.60}")
    return value


def _statistics(subject: Subject) -> dict[str, Any]:
    return _of_the_model(subject, subject.get(f"{subject.path}/stats"))


def _of_the_model(subject: Subject, answer: Answer) -> dict[str, Any]:
    entries: list[dict[str, Any]] = listed(
        document_of(answer).get("model_stats"), dict, "model_stats, a list of objects"
    )
    ours = [entry for entry in entries if entry.get("name") == subject.model]
    if not ours:
        raise Deviation(f"an entry of {subject.model!r}", f"{[entry.get('name') for entry in entries]!r:.60}")
    return next((entry for entry in ours if entry.get("version") == subject.version), ours[0])


def _counts(subject: Subject) -> tuple[int, int]:
    statistics = _statistics(subject)
    success = has(has(statistics, "inference_stats", dict, "an object"), "success", dict, "an object")
    return has(statistics, "inference_count", int, "an integer"), has(success, "count", int, "an integer")
