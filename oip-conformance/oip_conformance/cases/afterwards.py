"""The server still works after all other cases."""

from oip_conformance.case import Topic
from oip_conformance.expecting import succeeded
from oip_conformance.sources import REST
from oip_conformance.subject import Subject

topic = Topic("Afterwards")


@topic.required(
    "still-ready",
    "The server and the model are ready after all cases",
    f'{REST}, API Definitions: "The “server live” health API indicates if the inference server is able to receive and '
    'respond to metadata and inference requests."',
)
def still_ready(subject: Subject) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", f"{subject.path}/ready"):
        succeeded(subject.get(path))


@topic.required(
    "still-answers",
    "The answer to the golden request is unchanged after all cases",
    f'{REST}, Inference Response JSON Object: "A successful inference request is indicated by a 200 HTTP status code."',
)
def still_answers(subject: Subject) -> None:
    subject.same(subject.good())
