"""Makes the checkpoint and the bundles of each network of a comparison."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.bundle.names import replace_invalid
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.models.words import is_factory, recorded_name
from edgecnn.progress import Progress
from edgecnn.stages.comparison_folder import Plan, kept_or_made, reason_of
from edgecnn.stages.exporting import export
from edgecnn.stages.quantizing import quantize
from edgecnn.stages.recording import recorded
from edgecnn.stages.training import train

if TYPE_CHECKING:
    from edgecnn.pipeline.reporting.networks import Failure, TrainedNetwork, Variant
    from edgecnn.pipeline.training.checkpoint import Epoch
    from edgecnn.pipeline.training.loop import Trained


@dataclass
class Maker:
    """Makes checkpoints and bundles, and keeps the ones of an earlier run. A failed step is recorded."""

    out: Path
    data: str
    plan: Plan
    precisions: tuple[str, ...]
    strict: bool
    on_note: Callable[[str, str], None]
    on_epoch: "Callable[[str, int, int, Epoch], None]"
    progress: Progress
    failures: "list[Failure]" = field(default_factory=list)

    def network(self, name: str) -> "TrainedNetwork | None":
        """Return a network with its bundles; None if training or export fails."""
        from edgecnn.pipeline.reporting.networks import TrainedNetwork
        from edgecnn.pipeline.training.checkpoint import read_checkpoint

        trained = self._step(name, "train", lambda: self._trained(name))
        fp32 = None if trained is None else self._step(name, "export", lambda: self._fp32(name, trained))
        if trained is None or fp32 is None:
            return None
        variants = [
            self._step(name, precision, lambda precision=precision: self._variant(name, precision, fp32))  # type: ignore[misc]  # mypy does not support this default
            for precision in self.precisions
        ]
        found = tuple(each for each in variants if each is not None)
        return TrainedNetwork(recorded_name(name), read_checkpoint(trained.checkpoint).record, found)

    def _step(self, network: str, step: str, do: Callable[[], Any]) -> Any:
        from edgecnn.pipeline.reporting.networks import Failure

        try:
            return do()
        except (EdgecnnError, RuntimeError, MemoryError) as error:  # PyTorch raises RuntimeError without memory
            self.failures.append(Failure(recorded_name(network), step, reason_of(error)))
            return None

    def _trained(self, name: str) -> "Trained":
        return train(
            name,
            self.data,
            self.out / replace_invalid(recorded_name(name)),
            resume=True,
            strict=self.strict,
            epochs=self.plan.epochs,
            seed=self.plan.seed,
            on_note=lambda text: self.on_note(recorded_name(name), text),
            on_epoch=lambda number, epochs, epoch: self.on_epoch(recorded_name(name), number, epochs, epoch),
            progress=self.progress,
        )

    def _fp32(self, name: str, trained: "Trained") -> Bundle:
        place = self._place(name, "fp32")
        network, weights = (name, trained.checkpoint) if is_factory(name) else (trained.checkpoint, None)
        command = recorded(["export", str(network), "--data", self.data, "--out", str(place)])
        return kept_or_made(
            place,
            lambda bundle: bundle.manifest.provenance.weights == trained.digest,
            lambda: export(
                network, place, weights=weights, data=self.data, force=True, command=command, progress=self.progress
            ),
        )

    def _variant(self, name: str, precision: str, fp32: Bundle) -> "Variant":
        from edgecnn.pipeline.evaluation.evaluating import evaluate
        from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics
        from edgecnn.pipeline.inspection.graph import inspect_bundle
        from edgecnn.pipeline.reporting.networks import Variant

        bundle = fp32 if precision == "fp32" else self._quantized(name, precision, fp32)
        metrics = evaluate(bundle.path, self.data, strict=self.strict, progress=self.progress).metrics
        assert isinstance(metrics, ClassificationMetrics)  # training takes one label per image only
        return Variant(recorded_name(name), precision, bundle, inspect_bundle(bundle), metrics)

    def _quantized(self, name: str, precision: str, fp32: Bundle) -> Bundle:
        place = self._place(name, precision)
        words = ["quantize", str(fp32.path), "--precision", precision, "--calibration", self.data, "--out", str(place)]
        return kept_or_made(
            place,
            lambda bundle: bundle.manifest.provenance.weights == fp32.manifest.provenance.weights,
            lambda: (
                quantize(
                    fp32,
                    place,
                    precision=precision,
                    calibration=self.data,
                    force=True,
                    command=recorded(words),
                    progress=self.progress,
                ).bundle
            ),
        )

    def _place(self, name: str, precision: str) -> Path:
        return self.out / f"{replace_invalid(recorded_name(name))}-{precision}"
