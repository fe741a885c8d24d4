"""Why there is nothing at a path: which of model, version and path is not there, and where to look."""

from collections.abc import Mapping
from urllib.parse import unquote

from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.models.model import Model

_ALL = "GET /openapi.json lists all paths"


def nothing_at(path: str, models: Mapping[str, Model]) -> Refusal:
    """Return the refusal of a path that leads nowhere; a name in it is quoted, since anything may stand there.

    Args:
        path: as it came.
        models: that are served, by name.
    """
    # Encoded slashes part nothing: they may be in the name of a model.
    parts = [unquote(part) for part in path.split("/")]
    if parts[:3] != ["", "v2", "models"] or len(parts) < 4 or not parts[3]:
        hint = "POST /v2/repository/index lists the models" if parts[:3] == ["", "v2", "models"] else _ALL
        return Refusal("not_found", f"there is nothing at {quoted(unquote(path))}: {hint}")
    name, rest = parts[3], parts[4:]
    model = models.get(name)
    if model is None:
        hint = "POST /v2/repository/index lists those that are served"
        return Refusal("not_found", f"model {quoted(name)} is not found: {hint}")
    if rest[:1] == ["versions"] and len(rest) > 1:
        if model.number and rest[1] != model.number:
            is_not = f"is not found in version {quoted(rest[1])}"
            return Refusal("not_found", f"model {quoted(name)} {is_not}: {model.number} is served")
        rest = rest[2:]
    return Refusal("not_found", f"model {quoted(name)} has nothing at {quoted('/' + '/'.join(rest))}: {_ALL}")
