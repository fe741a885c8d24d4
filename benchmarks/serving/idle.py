"""LeNet's servers without requests: memory, and the time from start to ready."""

from typing import Any

import numpy as np

from benchmarks.serving.page import claim, median
from benchmarks.serving.recipes import SERVING, edgecnn, peer
from benchmarks.serving.server import Server
from benchmarks.serving.ways import bundle_of

MOST_MB, MOST_READY_S = 150.0, 1.5
_PEERS = ("uvicorn", "granian RSGI", "mlserver", "litserve", "bentoml")


def idle(rounds: int, _: float) -> dict[str, Any]:
    """Start, measure and stop every server, in turns."""
    path = bundle_of("lenet", "fp32").path
    recipes = {"edgecnn": edgecnn(path, "--engine", "onnxruntime", "--threads", "1")}
    recipes |= {name: peer(name, path, threads=1) for name in _PEERS}
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in recipes}
    failed: dict[str, str] = {}
    order = np.random.default_rng(0)
    for _round in range(rounds):
        for name in order.permutation(list(recipes)):
            try:
                with Server(recipes[name], SERVING / "logs" / f"{name} idle.log") as server:
                    seen[name].append((server.ready_s, *server.memory_mb()))
            except (RuntimeError, OSError) as error:
                failed[str(name)] = str(error)
    rows = []
    for name, starts in seen.items():
        if starts:
            ready_s, resident_mb, shared_mb = (median(list(each)) for each in zip(*starts, strict=True))
            rows.append({"name": name, "ready_s": ready_s, "resident_mb": resident_mb, "shared_mb": shared_mb})
    claims = []
    if seen["edgecnn"]:
        ready, resident, _shared = (list(each) for each in zip(*seen["edgecnn"], strict=True))
        claims = [
            claim("LeNet idle: resident memory, MB", median(resident), most=MOST_MB),
            claim("LeNet: seconds from start to ready", median(ready), most=MOST_READY_S),
        ]
    return {"rows": rows, "failed": failed, "claims": claims, "rounds": rounds}
