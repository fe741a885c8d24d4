"""`edgecnn.build`: from a network and its images to proven bundles, a tuned setting and an archive."""

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgecnn.archive.packing import Packed, pack
from edgecnn.bundle.finding import check_new_bundle, is_bundle, is_checkpoint, is_onnx, is_weights
from edgecnn.bundle.names import check_name
from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError, EdgecnnError, OutputExists, UsageError
from edgecnn.progress import Progress, silent
from edgecnn.stages.exporting import export, import_onnx
from edgecnn.stages.measuring import tune
from edgecnn.stages.quantizing import quantize
from edgecnn.stages.recording import recorded
from edgecnn.stages.verifying import verify

if TYPE_CHECKING:
    from edgecnn.pipeline.quantization.quantizing import Quantized
    from edgecnn.runtime.verification.verify import Verification
    from edgecnn.tuning.conclusion import Tuned

BUDGET_S = 20.0
"""Time limit of `tune` in seconds: enough to compare two bundles on two engines."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Step:
    """A finished step: the command that does the same, its result in one line, and its duration in seconds."""

    command: str
    result: str
    duration_s: float


@dataclass(frozen=True)
class Built:
    """The result of `build`.

    Attributes:
        fp32: the FP32 bundle.
        quantized: the quantized bundle, its warnings and its speed.
        tuned: the profile, which is saved for this machine.
        archive: the archive of the bundle that the profile chooses.
        steps: the steps, in order.
    """

    fp32: Bundle
    quantized: "Quantized"
    tuned: "Tuned"
    archive: Packed
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        return f"<Built {self.archive.archive} from {self.archive.bundle}>"

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of quantization and tuning."""
        return (*self.quantized.warnings, *self.tuned.warnings)


def build(
    subject: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    architecture: str | None = None,
    max_drop: float | None = None,
    budget_s: float = BUDGET_S,
    force: bool = False,
    strict: bool = False,
    on_step: Callable[[Step], None] = lambda step: None,
    progress: Progress = silent,
    **options: Any,
) -> Built:
    """Export or import a network, quantize it to INT8, verify both bundles, tune them, and pack the chosen one.

    Args:
        subject: a checkpoint, an ONNX file, a weights file, or a network: an architecture, `torchvision:NAME`,
            `timm:NAME` or `file.py:factory`.
        data: a data source with training and test images, such as an image folder. See `quantize` and `export`.
        out: the folder to write. It gets the bundles `NAME-fp32` and `NAME-int8` and an archive; NAME is its name.
        weights: the weights of a network.
        architecture: the network of a weights file.
        max_drop: limit of the gate and of the tuning, in percentage points. The default is that of `quantize`.
        budget_s: approximate time limit of the tuning, in seconds.
        force: replace existing bundles and archives.
        strict: turn warnings into errors.
        on_step: called after each step.
        progress: called within each step.
        options: options of `export` or `import_onnx`, such as `image_size=224` or `labels="labels.txt"`.

    Raises:
        UsageError: the subject is incomplete, or an output exists.
        ProofFailed: the answers of a bundle differ from the reference's. The bundles before it remain.
        EdgecnnError: see the stages.
    """
    out = Path(out)
    fp32, int8, archives = _outputs(out, force=force)
    steps = _Steps(on_step)
    words, make = _first_stage(Path(subject), weights, architecture, options | {"data": data, "strict": strict})
    first = steps.run(
        [*words, "--data", str(data), "--out", str(fp32)],
        lambda command: make(fp32, force=force, command=command, progress=progress),
        _proven,
    )
    limit: dict[str, Any] = {} if max_drop is None else {"max_drop": max_drop}
    quantized = steps.run(
        ["quantize", str(fp32), "--calibration", str(data), *option_words(limit), "--out", str(int8)],
        lambda command: quantize(
            first, int8, calibration=data, force=force, strict=strict, command=command, progress=progress, **limit
        ),
        lambda result: f"{_proven(result.bundle)}; {result.speed_comparison.conclusion}",
    )
    for bundle in (first, quantized.bundle):
        steps.run(["verify", str(bundle.path)], lambda command, bundle=bundle: _verified(bundle, strict=strict), _held)  # type: ignore[misc]  # mypy does not support this default
    tuned = steps.run(
        ["tune", str(out), "--budget", f"{budget_s:g}", *option_words(limit)],
        lambda command: _tuned([first, quantized.bundle], strict=strict, budget_s=budget_s, progress=progress, **limit),
        lambda result: result.profile.conclusion,
    )
    chosen = first if tuned.profile.choice.bundle == first.digest else quantized.bundle
    archive = archives[chosen.path]
    packed = steps.run(
        ["pack", str(chosen.path), "--out", str(archive)],
        lambda command: pack(chosen.path, archive, force=force),
        lambda result: f"{result.size_bytes / 1024:,.0f} KiB, sha256 {result.sha256}",
    )
    return Built(first, quantized, tuned, packed, tuple(steps.finished))


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Return options as words of a command line. An option that is None is left out."""
    words = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [option if value else option.replace("--", "--no-", 1)]
        elif isinstance(value, tuple | list):
            words += [option, "FILE" if name == "labels" else ",".join(map(str, value)) or "none"]
        elif value is not None:
            words += [option, str(value)]
    return words


@dataclass
class _Steps:
    """Runs steps and records them."""

    on_step: Callable[[Step], None]
    finished: list[Step] = field(default_factory=list)

    def run(self, words: Sequence[str], do: Callable[[str], Result], say: Callable[[Result], str]) -> Result:
        """Run a step. `do` takes the command to record, and `say` describes the result in one line."""
        start = time.monotonic()
        result = do(recorded(words))
        step = Step(shlex.join(["edgecnn", *words]), say(result), time.monotonic() - start)
        self.finished.append(step)
        self.on_step(step)
        return result


def _outputs(out: Path, *, force: bool) -> tuple[Path, Path, dict[Path, Path]]:
    """Return the two bundles to write, and the archive of each.

    Raises:
        UsageError: a name is not valid, or an output exists and `force` is false.
    """
    fp32, int8 = (out / f"{check_name(out.resolve().name)}-{precision}" for precision in ("fp32", "int8"))
    archives = {bundle: bundle.with_name(f"{bundle.name}.tar") for bundle in (fp32, int8)}
    for bundle, archive in archives.items():
        check_new_bundle(bundle, force=force)
        if archive.exists() and not force:
            raise OutputExists(f"{archive} exists already: remove it, or use --force")
    return fp32, int8, archives


def _first_stage(
    subject: Path, weights: str | Path | None, architecture: str | None, options: dict[str, Any]
) -> tuple[list[str], Callable[..., Bundle]]:
    """Return the words of the command that makes the FP32 bundle, and the function that does the same.

    Raises:
        UsageError: the subject is incomplete.
        BundleError: the subject is a bundle.
    """
    words = option_words({name: value for name, value in options.items() if name != "data"} | {"strict": None})
    if is_bundle(subject):
        raise BundleError(f"{subject} is a bundle already: quantize it with edgecnn quantize")
    if (architecture is not None) != is_weights(subject):
        found = "needs its network: add --arch" if architecture is None else "is no weights file: remove --arch"
        raise UsageError(f"{subject} {found}")
    if is_onnx(subject):
        if weights is not None:
            raise UsageError(f"{subject} contains its weights: remove --weights")
        return ["import", str(subject), *words], lambda place, **more: import_onnx(subject, place, **options, **more)
    network, state = (str(subject), weights) if architecture is None else (architecture, subject)
    if is_checkpoint(subject) and state is not None:
        raise UsageError(f"{subject} contains its weights: remove --weights")
    words = [*option_words({"weights": state}), *words]
    return ["export", network, *words], lambda place, **more: export(network, place, weights=state, **options, **more)


def _proven(bundle: Bundle) -> str:
    """Return size and accuracy of a new bundle in one line."""
    proven = bundle.proof().engines[0].comparison.summary(bundle.manifest.scores.accuracy_name)
    return f"{bundle.manifest.precision}, {bundle.size_bytes / 1024:,.0f} KiB, {proven}"


def _verified(bundle: Bundle, *, strict: bool) -> "Verification":
    found = verify(bundle, strict=strict)
    found.raise_for_failures()
    return found


def _held(found: "Verification") -> str:
    result = found.record.self_test
    return (
        f"the proof holds on {found.record.session.engine}: {result.images} images, largest logit error "
        f"{result.max_error:.3g} (allowed {result.tolerance:.3g})"
    )


def _tuned(bundles: list[Bundle], *, strict: bool, **options: Any) -> "Tuned":
    found = tune(bundles, **options)
    if strict and found.warnings:
        raise EdgecnnError(found.warnings[0])
    found.keep()
    return found
