"""The servers and requests that are measured, and their turns."""

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.common.photographs import write_photographs
from benchmarks.serving.page import ENGINE
from benchmarks.serving.recipes import SERVING, Recipe
from benchmarks.serving.requests import Request
from benchmarks.serving.server import Server
from benchmarks.serving.wrk import Wrk
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.process import MeasuringProcess
from edgecnn.tuning.measuring.turn import Turn, interleave

MODELS = SERVING.parent / "engines"
_IDLE_S, _IDLE_SHARE = 3.0, 0.01
_WARM_S = 2
_SETTLED_S, _LOOK_S, _BUSY_SHARE = 30.0, 0.2, 0.1
_BATCHES = (1, 2, 4, 8, 16)
_PROBE_S, _FINALISTS, _FINAL_ROUNDS = 1.0, 4, 5


@dataclass(frozen=True)
class Way:
    """One server with one form of request.

    Attributes:
        name: in the table.
        server: name of the server.
        request: that is sent.
        logits: expected in the answer, float32 [K].
        tolerance: permitted difference.
    """

    name: str
    server: str
    request: Request
    logits: np.ndarray = field(compare=False)
    tolerance: float


@dataclass(frozen=True)
class Taken:
    """The results of all candidates and the engine in the same rounds.

    Attributes:
        turns: candidate -> its turns.
        wrks: candidate -> its runner with wrk's results; the engine has none.
        servers: server -> data about its processes: start, memory before and after, processor time while idle.
    """

    turns: dict[str, list[Turn]]
    wrks: dict[str, Wrk]
    servers: dict[str, dict[str, float]]


def measure(
    recipes: dict[str, Recipe], ways: list[Way], *, engine: MeasuringProcess | None, rounds: int, seconds: float
) -> tuple[Taken, dict[str, str]]:
    """Start all servers, check their answers, and load them one after the other, round by round.

    Returns:
        The measurements, and for each missing candidate the reason.
    """
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        servers, seen = {}, {}
        for name, recipe in recipes.items():
            try:
                servers[name] = stack.enter_context(Server(recipe, SERVING / "logs" / f"{name}.log"))
            except (RuntimeError, OSError) as error:
                failed |= {way.name: str(error) for way in ways if way.server == name}
                continue
            seen[name] = {"ready_s": servers[name].ready_s, "idle_mb": servers[name].memory_mb()[0]}
        wrks = {}
        for way in ways:
            if way.server in servers:
                try:
                    wrks[way.name] = _checked(way, servers[way.server])
                except (RuntimeError, OSError, ValueError) as error:
                    failed[way.name] = str(error)
        noisy = _noisy(servers, seen)
        runners: dict[str, MeasuringProcess | _Loaded] = {
            way.name: _Loaded(wrks[way.name], servers[way.server], is_noisy=way.server in noisy)
            for way in ways
            if way.name in wrks
        }
        if engine is not None:
            runners[ENGINE] = engine
        for name in noisy:
            servers[name].signal(signal.SIGSTOP)
        taken = interleave(list(runners.values()), rounds=rounds, seconds=seconds, progress=_say)
        for name, server in servers.items():
            seen[name]["loaded_mb"] = server.memory_mb()[0]
    return Taken(dict(zip(runners, taken, strict=True)), wrks, seen), failed


def _checked(way: Way, server: Server) -> Wrk:
    """Send one request and compare the answer, then warm up."""
    found = way.request.send(server.port)
    if found.shape != way.logits.shape or not np.allclose(found, way.logits, rtol=0, atol=way.tolerance):
        raise ValueError(f"the logits of {way.name} differ from ONNX Runtime's")
    wrk = Wrk(way.request, server.port, SERVING / "wrk")
    wrk.run(_WARM_S)
    settle(server)
    return wrk


class _Loaded:
    """A server under load, as a `Runner`; its turn ends when the server has finished the remaining requests.

    A server that is busy without requests is paused during the turns of others.
    """

    def __init__(self, wrk: Wrk, server: Server, *, is_noisy: bool) -> None:
        self._wrk, self._server, self._is_noisy = wrk, server, is_noisy

    def turn(self, seconds: float) -> Turn:
        """See `Runner`."""
        if self._is_noisy:
            self._server.signal(signal.SIGCONT)
        try:
            turn = self._wrk.turn(seconds)
            settle(self._server)
        finally:
            if self._is_noisy:
                self._server.signal(signal.SIGSTOP)
        return turn


def settle(server: Server) -> None:
    """Wait until a server is idle; some continue with requests of disconnected clients."""
    end = time.monotonic() + _SETTLED_S
    busy = True
    while busy and time.monotonic() < end:
        before = server.cpu_s()
        time.sleep(_LOOK_S)
        busy = server.cpu_s() - before > _BUSY_SHARE * _LOOK_S


def _noisy(servers: dict[str, Server], seen: dict[str, dict[str, float]]) -> set[str]:
    """Return the servers that use processor time without requests."""
    before = {name: server.cpu_s() for name, server in servers.items()}
    time.sleep(_IDLE_S)
    for name, server in servers.items():
        seen[name]["idle_share"] = (server.cpu_s() - before[name]) / _IDLE_S
    return {name for name, each in seen.items() if each["idle_share"] > _IDLE_SHARE}


def _say(stage: str, done: int, total: int, _: str = "", /) -> None:
    print(f"\r{stage} {done}/{total}", end="\n" if done == total else "", flush=True)


def expected(bundle: Bundle, images: np.ndarray) -> np.ndarray:
    """Return the logits of ONNX Runtime: float32 [K]."""
    session = open_session(bundle, engine="onnxruntime", options=SessionOptions(threads=1))
    try:
        logits: np.ndarray = session.run(images)[0]
    finally:
        session.close()
    return logits


def fastest(bundle: Path) -> Setting:
    """Find the fastest engine, threads, instances and batch for a bundle, as the basis for the server's overhead.

    Every setting runs briefly, then the best ones run in turns. The winner is measured again together with the servers.
    """
    first = {setting: _speeds(bundle, [setting], rounds=1)[0] for setting in _settings(usable_cores())}
    best = sorted(first, key=lambda setting: first[setting])[-_FINALISTS:]
    speeds = dict(zip(best, _speeds(bundle, best, rounds=_FINAL_ROUNDS), strict=True))
    for setting, speed in speeds.items():
        print(f"  {setting}: {speed:.1f} images/s", flush=True)
    return max(speeds, key=lambda setting: speeds[setting])


def _speeds(bundle: Path, settings: list[Setting], *, rounds: int) -> list[float]:
    """Return images per second of each setting: the median of its turns."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(MeasuringProcess(bundle, setting)) for setting in settings]
        taken = interleave(workers, rounds=rounds, seconds=_PROBE_S)
    return [float(np.median([turn.images / turn.seconds for turn in turns])) for turns in taken]


def _settings(cores: int) -> Iterator[Setting]:
    for engine in installed():
        for threads, instances in dict.fromkeys([(cores, 1), (1, cores)]):
            for batch in _BATCHES:
                yield Setting(engine, threads=threads, instances=instances, batch=batch)


def photograph() -> Path:
    """Return a JPEG file of 500 × 375 pixels, a crop of a real photograph."""
    file = SERVING / "photograph.jpg"
    write_photographs({file: 0})
    return file


def bundle_of(network: str, precision: str) -> Bundle:
    """Open a bundle that `engines.compare build` has built."""
    return open_bundle(MODELS / network / f"{network}-{precision}")
