"""Tests of damaged sites: each command uses the current version, or refuses with the command that mends the site.

No command uses another version, unless the user names it.
"""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result
from model_versions import put
from PIL import Image
from site_damages import DAMAGES

from edgecnn.archive.installing import install, rollback
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EdgecnnError
from edgecnn.server.models.catalogue import candidates, find_sources


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four bundles and an intact site."""
    folder = tmp_path_factory.mktemp("intact")
    for number in range(1, 5):
        put(folder, number)
    for number in (1, 2, 3):
        install(folder / str(number), folder / "site")
    rollback(folder / "site")
    return folder


@pytest.fixture(params=DAMAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def damaged(name: str, intact: Path, tmp_path: Path) -> Path:
    """A damaged copy of the site."""
    site = Path(shutil.copytree(intact / "site", tmp_path / "site", symlinks=True))
    DAMAGES[name][0](site)
    return site


@pytest.fixture(scope="module")
def digests(intact: Path) -> dict[int, str]:
    return {number: open_bundle(intact / str(number)).digest for number in range(1, 5)}


def served(site: Path) -> str:
    """Return the digest that `serve` uses, or raise the error that it logs."""
    (source,) = find_sources([site])
    (candidate,) = candidates(source)
    assert source.name in ("lenet-digits-int8", site.name)
    return open_bundle(candidate.path).digest


def check_error(error: str, expected: str, site: Path) -> None:
    assert re.search(expected, error), error
    assert "\n" not in error
    assert str(site) in error


def test_serve_keeps_the_version_or_refuses(name: str, damaged: Path, digests: dict[int, str]):
    expected = DAMAGES[name][1]
    if isinstance(expected, int):
        assert served(damaged) == digests[expected]
        return
    with pytest.raises(EdgecnnError) as caught:
        served(damaged)
    check_error(str(caught.value), expected, damaged)


def test_the_command_of_a_refusal_mends_the_site(
    name: str, damaged: Path, intact: Path, digests: dict[int, str], edgecnn: Callable[..., Result]
):
    if isinstance(DAMAGES[name][1], int):
        return
    with pytest.raises(EdgecnnError) as caught:
        served(damaged)
    command = re.search(r"edgecnn (install \S+ --to \S+?)(,| \(|$)", str(caught.value))
    assert command is not None
    words = shlex.split(command[1].replace("BUNDLE", str(intact / "2")).replace("/N ", "/2 "))
    assert edgecnn(*words, "--no-verify").code == 0
    assert served(damaged) == digests[2]


@pytest.mark.parametrize("number", [2, 4])
def test_install_mends_and_names_the_true_target(
    number: int, name: str, damaged: Path, intact: Path, digests: dict[int, str]
):
    done = install(intact / str(number), damaged)
    assert served(damaged) == open_bundle(damaged / "current").digest == digests[number]
    assert (damaged / "current").readlink() == Path("versions") / str(done.version)
    assert not list(damaged.rglob(".*.*-*"))
    if done.previous is None:
        with pytest.raises(EdgecnnError, match="cannot roll back"):
            rollback(damaged)
        assert served(damaged) == digests[number]
    else:
        assert rollback(damaged).version == done.previous
        assert served(damaged) in (digests[1], digests[2])


def test_rollback_follows_the_history_or_refuses(name: str, damaged: Path, digests: dict[int, str]):
    expected = DAMAGES[name][2]
    if expected == 1:
        done = rollback(damaged)
        assert (done.undone, done.bundle, served(damaged)) == (2, digests[1], digests[1])
    elif name == "a finished rollback":  # a power cut has restored its record
        assert rollback(damaged).undone == 3
        assert served(damaged) == digests[2]
    else:
        with pytest.raises(EdgecnnError) as caught:
            rollback(damaged)
        check_error(str(caught.value), str(expected), damaged)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify SITE/current", "predict SITE/current IMAGE", "predict SITE IMAGE"])
def test_commands_use_the_version_or_refuse(
    command: str, name: str, damaged: Path, digests: dict[int, str], edgecnn: Callable[..., Result], tmp_path: Path
):
    Image.new("L", (32, 32)).save(tmp_path / "image.png")
    words = command.replace("SITE", str(damaged)).replace("IMAGE", str(tmp_path / "image.png")).split()
    result = edgecnn(*words, "--json")
    expected = DAMAGES[name][1]
    if isinstance(expected, int):
        bundle = (damaged / "current").resolve()
        assert result.code == 0, result.err
        assert (digests[expected] if "verify" in command else f'"bundle": "{bundle}"') in result.out
        assert open_bundle(bundle).digest == digests[expected]
    else:
        assert result.code == 1
        check_error(result.error, expected, damaged)
