"""Tests of a server whose site is damaged: the running version stays, and mending needs no restart."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from model_versions import put
from server_process import Server, serving, start, wait_for
from site_damages import DAMAGES

from edgecnn.archive.installing import install, rollback

NAME = "lenet-digits-int8"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose current version is 2 of 3."""
    for number in (1, 2, 3):
        put(tmp_path, number)
        install(tmp_path / str(number), tmp_path / "site")
    rollback(tmp_path / "site")
    return tmp_path / "site"


def reason(server: Server) -> str:
    return str(server.index()[NAME]["reason"])


STAYS = "the current version stays"


@pytest.mark.slow
def test_the_running_version_stays(site: Path, tmp_path: Path):
    with serving("--watch-s", 0.2, bundles=(site,), name=NAME) as server:
        digest = server.infer(server.images[:1]).headers["x-bundle-digest"]
        for damage in ("links as files", "links dropped", "current of zeros", "links followed, current damaged"):
            logged = len(server.lines)
            DAMAGES[damage][0](site)
            wait_for(lambda: reason(server))
            wait_for(lambda start=logged: [line for line in server.lines[start:] if STAYS in line])
            (line,) = [line for line in server.lines[logged:] if STAYS in line]
            assert "choose a version: edgecnn install " in line
            assert server.infer(server.images[:1]).headers["x-bundle-digest"] == digest
            install(tmp_path / "2", site)
            wait_for(lambda: not reason(server))
        assert server.infer(server.images[:1]).headers["x-bundle-digest"] == digest


@pytest.mark.slow
def test_serves_a_mended_site_without_a_restart(site: Path, tmp_path: Path):
    (tmp_path / "other" / "digits").mkdir(parents=True)
    put(tmp_path / "other" / "digits", 1)
    DAMAGES["links dropped"][0](site)
    with serving("--watch-s", 0.2, bundles=(tmp_path / "other" / "digits", site), name="digits") as server:
        assert server.index()[NAME]["state"] == "UNAVAILABLE"
        (line,) = [line for line in server.lines if "edgecnn install" in line]
        assert "current is missing" in line
        install(tmp_path / "2", site)
        wait_for(lambda: server.index()[NAME]["state"] == "READY")


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["links as files", "graph of zeros", "no versions"])
def test_does_not_start_without_a_model(damage: str, site: Path):
    DAMAGES[damage][0](site)
    process, lines = start("--watch-s", 0.2, bundles=(site,))
    try:
        assert process.wait(60) == 1
    finally:
        process.kill()
    wait_for(lambda: any("exits" in line for line in lines))
    assert sum("edgecnn install" in line for line in lines) == 1
    assert not any("Traceback" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("versions/2", "verify SITE/current"),
        ("versions/2", "serve SITE --port 0"),
        ("versions/1", "rollback SITE"),
        ("versions", "verify SITE/current"),
        ("versions", "serve SITE --port 0"),
        ("versions", "rollback SITE"),
    ],
)
def test_reports_missing_permissions(path: str, command: str, site: Path):
    setpriv = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if setpriv and shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and setpriv is not installed")
    words = command.replace("SITE", str(site)).split()
    (site / path).chmod(0)
    try:
        done = subprocess.run(
            [*setpriv, sys.executable, "-m", "edgecnn", *words], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        (site / path).chmod(0o755)
    assert done.returncode in (1, 2)
    assert re.search("Permission denied|is not readable", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
