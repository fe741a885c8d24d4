"""After all of it: the server is as it was."""

from oip_conformance.case import Topic
from oip_conformance.expecting import succeeded
from oip_conformance.sources import REST
from oip_conformance.subject import Subject

topic = Topic("Afterwards")


@topic.required(
    "still-ready",
    "After all of these requests the server and the model are ready",
    f'{REST}, API Definitions: "The “server live” health API indicates if the inference server is able to receive and '
    'respond to metadata and inference requests."',
)
def still_ready(subject: Subject) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", f"{subject.path}/ready"):
        succeeded(subject.get(path))


@topic.required(
    "still-answers",
    "After all of these requests the golden one is answered as before",
    f'{REST}, Inference Response JSON Object: "A successful inference request is indicated by a 200 HTTP status code."',
)
def still_answers(subject: Subject) -> None:
    subject.same(subject.good())
