"""A site of `edgecnn install` serves its current version under its number: index, paths, metrics and log."""

import json
from pathlib import Path
from typing import Any

import pytest
from model_versions import put
from reloading import QUICK, entry
from server_process import Server, serving, wait_for

from edgecnn.archive.installing import install, rollback
from edgecnn.server.models.catalogue import ONLY_VERSION, candidates, find_sources


def info(server: Server) -> list[dict[str, str]]:
    """Return the labels of each served bundle in the metrics."""
    return [sample.labels for sample in server.samples() if sample.name == "edgecnn_model_info" and sample.value == 1]


def served(server: Server, number: int, digest: str) -> None:
    """Wait for a version, and check that everything names it."""
    wait_for(lambda: entry(server)["version"] == str(number))
    path = f"/v2/models/{server.name}"
    assert server.get(path).json["versions"] == [str(number)]
    assert server.get(f"{path}/versions/{number}/card").json["version"] == str(number)
    assert server.get(f"{path}/stats").json["model_stats"][0]["version"] == str(number)
    assert server.get(f"{path}/versions/{3 - number}").status == 404
    (labels,) = info(server)
    assert labels | {"model": server.name, "version": str(number), "digest": digest[:12], "device": "cpu"} == labels
    reply = server.infer(server.images[:1])
    described: Any = json.loads(reply.body[: int(reply.headers["inference-header-content-length"])])
    assert (described["model_version"], reply.headers["x-bundle-digest"]) == (str(number), digest)


def test_serves_the_installed_version(tmp_path: Path):
    (tmp_path / "made").mkdir()
    digests = {number: put(tmp_path / "made", number) for number in (1, 2)}
    site = tmp_path / "site"
    install(tmp_path / "made" / "1", site)
    with serving(*QUICK, "--access-log", bundles=[site / "current"]) as server:
        served(server, 1, digests[1])
        install(tmp_path / "made" / "2", site)
        served(server, 2, digests[2])
        assert server.samples()  # the counts of version 2 begin at 0
        counted = {s.labels["class"]: s.value for s in server.samples() if s.name == "edgecnn_predictions_total"}
        assert sum(counted.values()) == 1
        wait_for(lambda: any("answered" in line and "version=2" in line for line in server.lines))
        rollback(site)
        served(server, 1, digests[1])
        assert any("ready" in line and "version=2" in line for line in server.lines)
        server.unharmed()


@pytest.mark.parametrize(
    ("link", "target", "number"),
    [("current", "versions/7", 7), ("current", "elsewhere/7", ONLY_VERSION), ("live", "versions/7", ONLY_VERSION)],
)
def test_only_a_site_has_installed_numbers(link: str, target: str, number: int, tmp_path: Path):
    (tmp_path / target).parent.mkdir()
    put((tmp_path / target).parent, 7)
    (tmp_path / link).symlink_to(target)
    (source,) = find_sources([tmp_path / link])
    (found,) = candidates(source)
    assert (found.number, found.path) == (number, tmp_path / target)
