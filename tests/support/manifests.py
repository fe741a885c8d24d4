"""Kubernetes manifests, and KServe's classes as a schema for its kinds.

Importing the package `kserve` needs about a hundred other packages. Its classes describe their fields in plain dicts,
which are read from the source.
"""

import ast
import importlib.metadata
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from deployment import DEPLOY

PLAIN = {"str": str, "int": int, "bool": bool, "object": object}


def documents(folder: str) -> dict[str, Any]:
    """Return the manifests of a folder, by kind."""
    found = [yaml.safe_load(file.read_text()) for file in sorted((DEPLOY / folder).glob("*.yaml"))]
    return {document["kind"]: document for document in found}


def container(document: Any) -> Any:
    """Return the only container of a Deployment or a serving runtime."""
    spec = document["spec"]
    (only,) = (spec["template"]["spec"] if "template" in spec else spec)["containers"]
    return only


@cache
def fields_of(name: str) -> dict[str, str] | None:
    """Return the field types of a KServe class; None for a class of Kubernetes."""
    file = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    path = Path(str(importlib.metadata.distribution("kserve").locate_file(f"kserve/models/{file}.py")))
    if not path.exists():
        return None
    found: dict[str, dict[str, str]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return {found["attribute_map"][name]: kind for name, kind in found["openapi_types"].items()}


def check(value: Any, kind: str, at: str) -> list[str]:
    """Check a value against a KServe type; return the places that only Kubernetes' schemas can check."""
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), at
        return [place for number, each in enumerate(value) for place in check(each, listed[1], f"{at}[{number}]")]
    if mapped := re.fullmatch(r"dict\(str, (.+)\)", kind):
        assert isinstance(value, dict), at
        return [place for name, each in value.items() for place in check(each, mapped[1], f"{at}.{name}")]
    if kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{at} must be {kind}"
        return []
    fields = fields_of(kind)
    if fields is None:
        return [at]
    assert isinstance(value, dict), at
    unknown = set(value) - set(fields)
    assert not unknown, f"{at}: {kind} has no {unknown}"
    return [place for name, each in value.items() for place in check(each, fields[name], f"{at}.{name}")]
