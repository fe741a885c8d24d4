"""Compare the throughput of this checkout with another one: serve the same model, in turns under wrk.

    git worktree add build/before REVISION
    python -m benchmarks.serving.checkouts build/before BUNDLE build/before/BUNDLE

Each bundle has the format of its own checkout. Both servers run all the time; each gets one turn per round. The request
is one image as a binary tensor. The page shows requests per second and their ratio, with 95 % intervals. It needs
`wrk`.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common import tables
from benchmarks.common.results import BUILD, REPOSITORY, command_line, origin, output
from benchmarks.serving.recipes import SERVING, Recipe
from benchmarks.serving.requests import v2_binary
from benchmarks.serving.server import Server
from benchmarks.serving.wrk import Wrk
from edgecnn.bundle.store import open_bundle
from edgecnn.files.schema import plain
from edgecnn.tuning.measuring.estimates import ratio, speed
from edgecnn.tuning.measuring.turn import interleave

ROUNDS, TURN_S = 12, 3.0


def main() -> None:
    """Measure both checkouts and write the data and the page."""
    parser = command_line(__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("bundles", type=Path, nargs=2, metavar="BUNDLE", help="of this checkout, and of the other one")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    ours, theirs = options.bundles
    bundle = open_bundle(ours)
    request = v2_binary(bundle.manifest.name, bundle.self_test().images[:1])
    with ExitStack() as stack:
        runners = []
        for name, checkout, path in (("this", REPOSITORY, ours), ("other", options.other, theirs)):
            command = (sys.executable, "-m", "edgecnn", "serve", str(path.resolve()), "--port", "{port}", "--no-page")
            recipe = Recipe(command, "/v2/health/ready", {"PYTHONPATH": str(checkout.resolve())})
            server = stack.enter_context(Server(recipe, SERVING / "logs" / f"{name}.log"))
            runners.append(Wrk(request, server.port, BUILD / "wrk", connections=options.connections))
        turns = interleave(runners, rounds=options.rounds, seconds=TURN_S)
    refused = [sum(load.refused + load.broken for load in runner.loads) for runner in runners]
    if any(refused):
        sys.exit(f"error: requests were refused ({refused[0]} here, {refused[1]} there): both bundles need one name")
    rates = [[turn.images / turn.seconds for turn in each] for each in turns]
    found = origin() | {
        "bundle": bundle.manifest.name,
        "connections": options.connections,
        "requests_per_s": [plain(speed(each).images_per_s) for each in turns],
        "ratio": plain(ratio(rates[0], rates[1])),
    }
    this, other = (tables.cell(each) for each in found["requests_per_s"])
    header = ("bundle", "this checkout, requests/s", "other checkout, requests/s", "this / other")
    page = tables.table(header, [(found["bundle"], this, other, tables.ratio(**found["ratio"]))])
    output(f"checkouts-{bundle.manifest.name}", options.out or BUILD / "benchmarks").write(found, page + "\n")
    print(page)


if __name__ == "__main__":
    main()
