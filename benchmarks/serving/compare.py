"""Compare `edgecnn serve` with other servers and with its own engine, in one run on one machine.

LeNet: throughput and latency compared with bare handlers around ONNX Runtime, MLServer, LitServe and BentoML. ResNet-18
and -50 INT8: images per second compared with the engine alone with the same threads. Overload: ten times more requests
than the server can answer. Idle: memory, and the time from start to ready. The client, wrk, runs on the same cores.
Each part replaces its own figures in the data and in `results/serving.md`, and names its machine.

    apt-get install wrk
    python -m benchmarks.engines.compare build lenet resnet18 resnet50    # into build/engines
    python -m benchmarks.serving.compare build                            # the peers, into build/serving
    python -m benchmarks.serving.compare [lenet] [resnet18] [resnet50] [overload] [idle]    # on an idle machine
"""

from collections.abc import Callable
from typing import Any

from benchmarks.common.results import command_line, origin, output
from benchmarks.serving import requests
from benchmarks.serving.idle import idle
from benchmarks.serving.overload import overload
from benchmarks.serving.page import ENGINE, REFERENCE, lenet_claims, over, page, resnet_claims, row
from benchmarks.serving.recipes import RACED, build, edgecnn, peer, versions_of
from benchmarks.serving.ways import Taken, Way, bundle_of, expected, fastest, measure, photograph
from edgecnn.files.schema import plain
from edgecnn.host.resources import usable_cores
from edgecnn.pipeline.versions import versions
from edgecnn.tuning.measuring.process import MeasuringProcess


def main() -> None:
    """Build the peers, or measure the selected parts, or all."""
    parser, parts = command_line(__doc__), ("build", *PARTS)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=parts, help=f"any of {', '.join(parts)}")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each server")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn")
    options = parser.parse_args()
    if options.parts == ["build"]:
        build()
        return
    out = output("serving", options.out)
    result = out.read()
    for part in options.parts or PARTS:
        print(part, flush=True)
        result[part] = _where() | PARTS[part](options.rounds, options.seconds)
        out.write(result, page(result))


def _where() -> dict[str, Any]:
    """Return the machine and the versions of a part."""
    peers = {name: version for each in RACED for name, version in versions_of(each).items()}
    return origin() | {"versions": versions() | peers}


def lenet(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure LeNet FP32, one thread."""
    bundle = bundle_of("lenet", "fp32")
    name, image, path = bundle.manifest.name, bundle.self_test().images[:1], bundle.path
    recipes = {
        "uvicorn": peer("uvicorn", path, threads=1),
        "granian RSGI": peer("granian RSGI", path, threads=1),
        "granian ASGI": peer("granian ASGI", path, threads=1),
        "edgecnn": edgecnn(path, "--engine", "onnxruntime", "--threads", "1"),
        "mlserver": peer("mlserver", path, threads=1),
        "litserve": peer("litserve", path, threads=1),
        "bentoml": peer("bentoml", path, threads=1),
    }
    forms = [
        (REFERENCE, "uvicorn", requests.raw(image)),
        ("granian RSGI, bare handler", "granian RSGI", requests.raw(image)),
        ("granian ASGI, bare handler", "granian ASGI", requests.raw(image)),
        ("edgecnn, binary", "edgecnn", requests.v2_binary(name, image)),
        ("edgecnn, JSON", "edgecnn", requests.v2_json(name, image)),
        ("MLServer, JSON", "mlserver", requests.v2_json("classifier", image)),
        ("LitServe, JSON", "litserve", requests.litserve(image)),
        ("BentoML, JSON", "bentoml", requests.bentoml(image)),
    ]
    logits = expected(bundle, image)
    ways = [Way(title, server, request, logits, bundle.self_test().tolerance) for title, server, request in forms]
    taken, failed = measure(recipes, ways, engine=None, rounds=rounds, seconds=seconds)
    rows = _rows(taken, ways, references={"over_reference": REFERENCE})
    return {
        "rows": rows,
        "failed": failed,
        "claims": lenet_claims(taken.turns, {name: wrk.loads for name, wrk in taken.wrks.items()}),
    } | _load(rounds, seconds)


def resnet(network: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure a ResNet INT8 with pixels and with images, and the engine alone."""
    bundle = bundle_of(network, "int8")
    setting = fastest(bundle.path)
    name, self_test, path, cores = bundle.manifest.name, bundle.self_test(), bundle.path, usable_cores()
    image, jpeg = self_test.images[:1], photograph()
    division = ("--threads", str(setting.threads), "--instances", str(setting.instances))
    recipes = {
        "edgecnn": edgecnn(path, *division, "--engine", setting.engine, "--max-batch", str(setting.batch)),
        "uvicorn": peer("uvicorn", path, threads=cores),
        "mlserver": peer("mlserver", path, threads=cores),
        "litserve": peer("litserve", path, threads=cores),
        "bentoml": peer("bentoml", path, threads=cores),
    }
    content = jpeg.read_bytes()
    pixels = [
        ("edgecnn, binary", "edgecnn", requests.v2_binary(name, image)),
        (REFERENCE, "uvicorn", requests.raw(image)),
        ("MLServer, JSON", "mlserver", requests.v2_json("classifier", image)),
        ("LitServe, base64", "litserve", requests.litserve_pixels(image)),
        ("BentoML, JSON", "bentoml", requests.bentoml(image)),
    ]
    pictures = [
        ("edgecnn, JPEG", "edgecnn", requests.v2_picture(name, content)),
        ("MLServer, JPEG", "mlserver", requests.v2_base64("classifier", content)),
        ("LitServe, JPEG", "litserve", requests.litserve_picture(content)),
        ("BentoML, JPEG", "bentoml", requests.bentoml_picture(content)),
    ]
    if setting.engine != "onnxruntime":  # on the peers' engine, to separate the server's effect from the engine's
        recipes["edgecnn ORT"] = edgecnn(path, "--threads", str(cores), "--engine", "onnxruntime")
        pixels.append(("edgecnn on ONNX Runtime, binary", "edgecnn ORT", requests.v2_binary(name, image)))
        pictures.append(("edgecnn on ONNX Runtime, JPEG", "edgecnn ORT", requests.v2_picture(name, content)))
    logits = expected(bundle, image), expected(bundle, bundle.manifest.preprocessing.image(jpeg)[None])
    ways = [
        Way(*form, wanted, self_test.tolerance)
        for forms, wanted in zip((pixels, pictures), logits, strict=True)
        for form in forms
    ]
    with MeasuringProcess(path, setting) as engine:
        taken, failed = measure(recipes, ways, engine=engine, rounds=rounds, seconds=seconds)
    rows = _rows(taken, ways, references={"over_engine": ENGINE, "over_reference": REFERENCE})
    claims = resnet_claims(network, taken.turns)
    return {"setting": plain(setting), "rows": rows, "failed": failed, "claims": claims} | _load(rounds, seconds)


def _rows(taken: Taken, ways: list[Way], *, references: dict[str, str]) -> list[dict[str, Any]]:
    servers = {way.name: way.server for way in ways}
    rows = []
    for name, turns in taken.turns.items():
        wrk, seen = taken.wrks.get(name), taken.servers.get(servers.get(name, ""), {})
        ratios = {
            key: over(turns, taken.turns[reference])
            for key, reference in references.items()
            if reference in taken.turns
        }
        rows.append(row(name, turns, loads=wrk.loads if wrk else (), seen=seen) | ratios)
    return rows


def _load(rounds: int, seconds: float) -> dict[str, Any]:
    return {"rounds": rounds, "seconds": seconds}


PARTS: dict[str, Callable[[int, float], dict[str, Any]]] = {
    "lenet": lenet,
    "resnet18": lambda rounds, seconds: resnet("resnet18", rounds, seconds),
    "resnet50": lambda rounds, seconds: resnet("resnet50", rounds, seconds),
    "overload": overload,
    "idle": idle,
}


if __name__ == "__main__":
    main()
