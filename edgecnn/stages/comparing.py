"""`edgecnn.compare_networks`: train networks on the same images, and compare them on one page."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.errors import EdgecnnError, EdgecnnWarning, UsageError
from edgecnn.files.file import write_file
from edgecnn.hints import few
from edgecnn.pages.page import LanguageChoice
from edgecnn.pipeline.models.words import is_factory, recorded_name
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.choices import ENGINES, PYTORCH, check_engine
from edgecnn.runtime.engines.registry import installed
from edgecnn.stages.comparison_folder import FORMAT, Plan, comparison_folder
from edgecnn.stages.measuring import benchmark
from edgecnn.stages.network_making import Maker
from edgecnn.tuning.measuring.benchmark import ROUNDS, TURN_S

if TYPE_CHECKING:
    from edgecnn.pipeline.reporting.networks import Failure, NetworksContent, TrainedNetwork
    from edgecnn.pipeline.training.checkpoint import Epoch

PAGE, CSV, MARKDOWN = "index.html", "table.csv", "table.md"
PRECISIONS = ("fp32", "int8", "fp16")


@dataclass(frozen=True)
class ComparedNetworks:
    """A comparison of networks.

    Attributes:
        folder: the folder with the page `index.html`, the tables `table.csv` and `table.md`, checkpoints and bundles.
        content: the measurements.
        warnings: settings that did not run, and one if the machine was busy.
    """

    folder: Path
    content: "NetworksContent"
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<ComparedNetworks {self.folder}: {', '.join(each.name for each in self.content.networks)}>"

    def _repr_html_(self) -> str:
        return self.content._repr_html_()

    def raise_for_failures(self) -> None:
        """Raise an error if a step of a network failed.

        Raises:
            EdgecnnError: a step failed. The message names the networks.
        """
        if failures := list(map(str, self.content.failures)):
            raise EdgecnnError(f"some steps failed: {few(failures, separator='; ')}")


def compare_networks(
    networks: Sequence[str],
    data: str | Path,
    out: str | Path,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    precisions: Sequence[str] = ("fp32", "int8"),
    engines: Sequence[str] = (),
    rounds: int = ROUNDS,
    turn_s: float = TURN_S,
    language: LanguageChoice = "auto",
    force: bool = False,
    strict: bool = False,
    command: str = "edgecnn.compare_networks",
    on_note: Callable[[str, str], None] = lambda network, text: None,
    on_epoch: "Callable[[str, int, int, Epoch], None]" = lambda network, number, epochs, epoch: None,
    progress: Progress = silent,
) -> ComparedNetworks:
    """Train networks by their recipes, export and quantize them, and write one page and one table.

    A second call with the same options keeps finished networks, and continues an interrupted training. Speeds are
    measured again in each call. If a step of a network fails, the other networks go on; see
    `ComparedNetworks.raise_for_failures`.

    Args:
        networks: architectures such as `resnet18`, `torchvision:NAME`, `timm:NAME`, or `file.py:factory`.
        data: labelled images with a training and a test split: a data source's name or an image folder.
        out: the folder to write: the page, the tables, checkpoints and bundles.
        epochs: epochs of each network. The default is that of its recipe.
        seed: seed of each training.
        precisions: `fp32`, `int8` and `fp16`. INT8 is calibrated with training images.
        engines: engines to measure; empty for all that are installed.
        rounds: turns of each bundle on each engine.
        turn_s: seconds of one turn.
        language: language of the page: `en`, `zh`, or `auto` for that of the browser.
        force: discard an earlier comparison in `out`.
        strict: turn warnings about the images into errors.
        command: command line to show on the page.
        on_note: called with a network and each decision before its training.
        on_epoch: called after each epoch with the network, the epoch's number from 1, the number of epochs, and its
            metrics.
        progress: called after each step.

    Raises:
        UsageError: an architecture, a precision or an engine is unknown, or `out` has a comparison with other options
            or images.
        SourceError: the images are missing or damaged.
        EdgecnnError: every network failed.
    """
    out = Path(out)
    _check_names(networks, precisions, engines)
    from edgecnn.pipeline.data.sources import open_source

    source = open_source(str(data), strict=strict)
    train_split, test_split = source.split("train"), source.split("test")
    plan = Plan(FORMAT, source.name, train_split.digest, test_split.digest, epochs, seed)
    with comparison_folder(out, plan, force=force), warnings.catch_warnings():
        warnings.simplefilter("once", EdgecnnWarning)  # the networks have the same images
        maker = Maker(out, str(data), plan, tuple(precisions), strict, on_note, on_epoch, progress)
        made = []
        for number, network in enumerate(networks):
            progress("networks", number, len(networks), recorded_name(network))
            made.append(maker.network(network))
        progress("networks", len(networks), len(networks))
        content, notes = _measured(
            [each for each in made if each is not None],
            maker.failures,
            test_split.reference(),
            {"engines": engines or installed(), "rounds": rounds, "turn_s": turn_s, "progress": progress},
            command,
        )
        _write(out, content, language)
    return ComparedNetworks(out, content, notes)


def _check_names(networks: Sequence[str], precisions: Sequence[str], engines: Sequence[str]) -> None:
    if not networks:
        raise UsageError("a comparison needs at least one network")
    names = [recorded_name(network) for network in networks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{twice} is named twice: name each network once")
    for each in precisions:
        if each not in PRECISIONS:
            raise UsageError(f"unknown precision {each!r}: choose {', '.join(PRECISIONS)}")
    if not precisions:
        raise UsageError(f"a comparison needs at least one precision: choose {', '.join(PRECISIONS)}")
    for each in engines:
        check_engine(each, names=(*ENGINES, PYTORCH))
    from edgecnn.pipeline.models.registry import get_architecture

    for network in networks:
        if not is_factory(network):
            get_architecture(network)


def _measured(
    networks: "Sequence[TrainedNetwork]",
    failures: "Sequence[Failure]",
    data: Any,
    settings: dict[str, Any],
    command: str,
) -> "tuple[NetworksContent, tuple[str, ...]]":
    """Measure the speed of all bundles in turns. Return the content of the page, and warnings.

    Raises:
        EdgecnnError: every network failed.
    """
    from edgecnn.bundle.manifest import utc_now
    from edgecnn.pipeline.reporting.networks import NetworksContent, candidates_of
    from edgecnn.pipeline.versions import versions

    variants = [variant for network in networks for variant in network.variants]
    if not variants:
        raise EdgecnnError(f"every network failed: {few(list(map(str, failures)), separator='; ')}")
    found = benchmark([each.bundle for each in variants], **settings)
    content = NetworksContent(
        data=data,
        networks=tuple(networks),
        failures=tuple(failures),
        benchmark=found.benchmark,
        candidates=candidates_of(variants, found.benchmark),
        command=command,
        created=utc_now(),
        version=versions()["edgecnn"],
    )
    return content, found.warnings


def _write(out: Path, content: "NetworksContent", language: LanguageChoice) -> None:
    from edgecnn.pipeline.reporting.networks_page import networks_page
    from edgecnn.pipeline.reporting.networks_table import as_csv, as_markdown

    write_file(out / CSV, as_csv(content).encode())
    write_file(out / MARKDOWN, as_markdown(content).encode())
    write_file(out / PAGE, networks_page(content, language).html.encode())
