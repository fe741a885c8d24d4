"""Tests of internal errors: the request is answered, counted, and released."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api import http_call, image_task
from edgecnn.server.api.http_call import HttpCall
from edgecnn.server.api.inference import InferenceTask
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.http.message import Head, Response
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.model import Model
from edgecnn.server.models.statistics import Statistics
from edgecnn.server.models.version import Bounds


class Asked:
    """A request that records its responses."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.head = Head("POST", "/v2/models/m/infer", "", headers)
        self.body = b"{}"
        self.claim = MemoryBudget(1 << 20).claim()
        self.on_gone: Callable[[], None] | None = None
        self.answers: list[Response] = []

    def is_gone(self) -> bool:
        return False

    def respond(self, response: Response) -> None:
        self.answers.append(response)


def fails(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


class Entered:
    """A version that receives no request."""

    label = ("1", "0123456789ab")

    def __init__(self, kept: None) -> None:
        self.statistics = Statistics()

    def leave(self) -> None:
        pass


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    model = Model("m", Bounds(max_batch=1, max_pending=1, max_delay_s=0, max_pixels=1), Metrics().of("m"))
    monkeypatch.setattr(model, "enter", Entered)
    return model


def infer(model: Model, headers: dict[str, str]) -> "weakref.ref[Asked]":
    """Send a request, wait for its response (500 or 400), and return a weak reference to the request."""

    async def run() -> "weakref.ref[Asked]":
        asked = Asked(headers)
        with contextlib.closing(StepPool(1)) as pool:
            call = HttpCall(asked, Asked.respond, max_body_bytes=1 << 20)
            InferenceTask(model, call, pool).begin()
            del call
            for _ in range(500):
                if asked.answers:
                    break
                await asyncio.sleep(0.01)
        (answer,) = asked.answers
        expected = {
            500: b'{"error":"the server failed on this request: see its log"}',
            400: b'{"error":"test error"}',
        }
        assert answer.body == expected[answer.status]
        return weakref.ref(asked)

    return asyncio.run(run())


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}], ids=["loop", "thread"])
@pytest.mark.parametrize("error", [MemoryError(), KeyError("a bug"), Refusal("invalid", "test error")])
def test_releases_a_failed_request(
    error: Exception, headers: dict[str, str], model: Model, monkeypatch: pytest.MonkeyPatch
):
    counted: list[str] = []
    monkeypatch.setattr(http_call.content, "decode", fails(error))
    monkeypatch.setattr(
        model, "metrics", SimpleNamespace(received=lambda: None, failed=lambda *of: counted.append(of[0]))
    )
    monkeypatch.setattr(image_task.logger, "disabled", True)  # pytest keeps log records, which reference the error
    gc.disable()  # reference cycles would stay in memory
    try:
        left = infer(model, headers)
        error.__traceback__ = None  # its frames reference the request
        assert counted == ["invalid" if isinstance(error, Refusal) else "engine"]
        assert model.pending == 0
        assert left() is None
    finally:
        gc.enable()
