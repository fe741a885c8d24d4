"""What servers list of their models, and which of them is the only one that is ready."""

import contextlib

from edgecnn.client.answer import Answer, Request, one_line
from edgecnn.client.transport import Transport
from edgecnn.errors import EdgecnnError, ServerError, ServerUnavailable, UsageError

_INDEX = Request("POST", "/v2/repository/index")


def models(transport: Transport) -> list[dict[str, str]]:
    """Return what a server serves: name, version, state and reason of each model.

    Raises:
        ServerError: it lists no models.
        ServerUnavailable: no server answered in time.
    """
    return _listed(transport.ask(_INDEX))


def only_ready(transport: Transport) -> str:
    """Return the name of the one model that is ready; another server is asked where one has none.

    Raises:
        UsageError: there are several.
        EdgecnnError: there is none.
        ServerError, ServerUnavailable: as `models`.
    """
    urls = ", ".join(server.url for server in transport.servers)
    found = models(transport)
    others = iter(transport.servers if len(transport.servers) > 1 else ())
    while not (ready := sorted({str(entry["name"]) for entry in found if _state(entry) == "READY"})):
        server = next(others, None)
        if server is None:
            states = "; ".join(f"{each['name']} is {_state(each).lower()}: {each.get('reason', '')}" for each in found)
            raise EdgecnnError(f"no model is ready at {urls}{': ' if states else ''}{one_line(states)}")
        with contextlib.suppress(ServerError, ServerUnavailable):
            found = _listed(transport.ask_of(server, _INDEX).accepted())
    if len(ready) > 1:
        raise UsageError(f"{urls} serves {one_line(', '.join(ready))}: name one of them with model (--model)")
    return ready[0]


def _listed(answer: Answer) -> list[dict[str, str]]:
    document = answer.json()
    if not (isinstance(document, list) and all(isinstance(entry, dict) and "name" in entry for entry in document)):
        raise answer.strange("its index is no list of models")
    return document


def _state(entry: dict[str, str]) -> str:
    return str(entry.get("state", "READY"))
