"""Tests of the OpenAPI document: it is valid, has every path, and schemathesis finds no contradiction."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from repository import COMMITTED, REPOSITORY
from server_process import Server, serving

from edgecnn.bundle.formats import SERVED
from edgecnn.host.child import child_environment
from edgecnn.server.api.application import HttpApplication
from edgecnn.server.api.openapi import document
from edgecnn.server.api.service import Service
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.loading import Loaded, load
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Bounds
from edgecnn.server.options import ServeOptions

KEY = "0123456789abcdef-Key"
SMALL = ("--max-batch", 1, "--max-pixels", 2048)
"""With a batch of one, the schemas have an exact list length; schemathesis tries the longest allowed list."""


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    """Yield the committed bundle, loaded."""
    found = load(COMMITTED, ServeOptions(), 1)
    yield found
    found.session.close()


def service(loaded: Loaded, *, ready: tuple[str, ...], loading: tuple[str, ...] = (), **options: Any) -> Service:
    """Return a service of models with these names; call it in an event loop."""
    bounds = Bounds(max_batch=8, max_pending=2, max_delay_s=0.0, max_pixels=1000)
    models = {name: Model(name, bounds, Metrics().of(name)) for name in (*ready, *loading)}
    for name in ready:
        models[name].start(loaded, asyncio.get_running_loop(), number=1)
    return Service(models, **({"budget": MemoryBudget(1 << 30), "api_key": None} | options))


def described(loaded: Loaded, **options: Any) -> dict[str, Any]:
    async def write() -> dict[str, Any]:
        return document(service(loaded, **options), max_body_bytes=1 << 20, small_body_bytes=1 << 10)

    return asyncio.run(write())


@pytest.mark.parametrize("key", [None, KEY.encode()], ids=["open", "locked"])
@pytest.mark.parametrize(
    ("ready", "loading"), [(("a", "b"), ()), (("a",), ("b",)), ((), ("a", "b"))], ids=["both", "one", "none"]
)
def test_is_valid_openapi(ready: tuple[str, ...], loading: tuple[str, ...], key: bytes | None, loaded: Loaded):
    found = described(loaded, ready=ready, loading=loading, api_key=key)
    OpenAPIV31SpecValidator(found).validate()
    assert b"{{" not in orjson.dumps(found)  # every value of the template is filled in
    assert ("security" in found) == (key is not None)
    assert ("/v2/models/a/infer" in found["paths"], "/v2/models/b/infer" in found["paths"]) == (True, True)
    assert ("InferRequest.a" in found["components"]["schemas"]) == ("a" in ready)


def test_has_exactly_the_served_paths(loaded: Loaded):
    async def tables() -> tuple[dict[str, Any], dict[str, Any]]:
        served = service(loaded, ready=("a", "b"))
        application = HttpApplication(served, Metrics(), max_body_bytes=1 << 20, trusted_hosts=(), pages={})
        return application._routes.table, document(served, max_body_bytes=1 << 20, small_body_bytes=1 << 10)

    routes, found = asyncio.run(tables())
    parameters = found["components"]["parameters"]
    values = {name: parameters[name]["schema"]["enum"] for name in ("Model", "Version")}
    answered = set()
    for path, item in found["paths"].items():
        for model, version in product(values["Model"], values["Version"]):
            where = path.format(model=model, version=version)
            answered |= {(where, each.upper()) for each in item if each != "parameters"}
    controls = {(f"/v2/repository/models/{name}/{action}", "POST") for name in "ab" for action in ("load", "unload")}
    assert answered - controls == {(path, method) for path, route in routes.items() for method in route}
    assert controls <= answered


def test_describes_the_running_server(server: Server):
    found = server.get("/openapi.json").json
    assert found["components"]["parameters"]["Model"]["schema"]["enum"] == [server.name]
    request = found["components"]["schemas"][f"InferRequest.{server.name}"]
    shape = request["properties"]["inputs"]["items"]["properties"]["shape"]["prefixItems"]
    assert [size.get("const", size.get("maximum")) for size in shape] == [32, 32, 32, 1]
    content = found["paths"][server.infer_path]["post"]["requestBody"]["content"]
    assert {f"image/{each.lower()}" for each in SERVED} == {each for each in content if each.startswith("image/")}
    assert "200" not in found["paths"]["/v2/repository/models/{model}/load"]["post"]["responses"]


def test_is_rebuilt_after_a_model_is_added(loaded: Loaded):
    def asked(application: HttpApplication) -> list[str]:
        return orjson.loads(application._described())["components"]["parameters"]["Model"]["schema"]["enum"]

    async def before_and_after() -> tuple[list[str], list[str]]:
        served = service(loaded, ready=("a",))
        application = HttpApplication(served, Metrics(), max_body_bytes=1 << 20, trusted_hosts=(), pages={})
        before = asked(application)
        served.models = {**served.models, **service(loaded, ready=("b",)).models}
        application.lay_out()
        return before, asked(application)

    assert asyncio.run(before_and_after()) == (["a"], ["a", "b"])


def test_examples_are_answered(server: Server):
    content = server.get("/openapi.json").json["paths"][server.infer_path]["post"]["requestBody"]["content"]
    for example in content["application/json"]["examples"].values():
        assert server.post(example["value"]).status == 200


def test_needs_the_api_key(locked: Server):
    assert locked.request("GET", "/openapi.json", None, {"Authorization": ""}).status == 401


@pytest.fixture(scope="module")
def small_server() -> Iterator[Server]:
    with serving(*SMALL) as server:
        yield server


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(KEY + "\n")
    with serving("--api-key-file", file, *SMALL, headers={"Authorization": f"Bearer {KEY}"}) as server:
        yield server


@pytest.fixture
def locked(locked_server: Server) -> Iterator[Server]:
    yield locked_server
    locked_server.unharmed()


def schemathesis(server: Server, folder: Path, *options: object) -> str:
    """Run schemathesis against a server's OpenAPI document; return its output."""
    tests = REPOSITORY / "tests"
    paths = [str(tests), child_environment()["PYTHONPATH"]]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", tests / "schemathesis.toml", "run"]
    command += [f"http://127.0.0.1:{server.port}/openapi.json", "--no-color", *options]
    for name, value in server.headers.items():
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


QUICK, LONG = ("--phases", "examples,fuzzing", "--max-examples", 3), ("--max-examples", 15)
"""The phase `coverage` sends all boundary values of the schemas; it takes most of a long run."""


@pytest.mark.parametrize("options", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_server_conforms(small_server: Server, tmp_path: Path, options: tuple[object, ...]):
    before = small_server.metrics()
    said = schemathesis(small_server, tmp_path, *options)
    assert re.search(r"Operations: +(\d+) selected / \1 total", said)
    small_server.unharmed()
    metrics, least = small_server.metrics(), 1 if options == QUICK else 50
    assert metrics["succeeded"] - before["succeeded"] > least
    assert metrics["failed"] - before["failed"] > least


@pytest.mark.slow
def test_server_conforms_with_an_api_key(locked: Server, tmp_path: Path):
    schemathesis(locked, tmp_path, "--phases", "examples,coverage")


@pytest.mark.parametrize(
    "options", [QUICK, pytest.param(("--max-examples", 4), marks=pytest.mark.slow)], ids=["quick", "long"]
)
@pytest.mark.slow
def test_server_conforms_with_model_control(tmp_path: Path, options: tuple[object, ...]):
    with serving("--model-control", *SMALL) as server:
        schemathesis(server, tmp_path, *options, "--include-path-regex", "repository")
        assert any("unloaded" in line for line in server.lines)
        assert server.request("POST", f"/v2/repository/models/{server.name}/load", b"").status == 200
        server.unharmed()
