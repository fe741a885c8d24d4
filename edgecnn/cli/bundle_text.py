"""Format a new bundle, its layers, and the cost and gain of quantization as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgecnn.cli.cascade_text import cascade_lines
from edgecnn.cli.checks import checked_text
from edgecnn.cli.output import columns, counted, number, points, worst_class
from edgecnn.hints import few
from edgecnn.runtime.rates import percent

if TYPE_CHECKING:
    from edgecnn.bundle.layer_report import FloatTrade, LayerReport, LowRankLayer
    from edgecnn.bundle.manifest import Scores
    from edgecnn.bundle.proof import GateRecord, UnsureRecord
    from edgecnn.bundle.store import Bundle
    from edgecnn.pipeline.quantization.quantizing import Quantized
    from edgecnn.pipeline.quantization.speed_comparison import SpeedComparison
    from edgecnn.pipeline.quantization.spread import SeedResult


def bundle_summary(bundle: "Bundle") -> dict[str, Any]:
    """Return a new bundle's path, digest and proof as JSON values."""
    from edgecnn.files import schema

    return {
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "precision": bundle.manifest.precision,
        "size_bytes": bundle.size_bytes,
        "proof": schema.plain(bundle.proof()),
    }


def bundle_text(bundle: "Bundle") -> str:
    """Return a new bundle's size and proof as text."""
    proof, scores = bundle.proof(), bundle.manifest.scores
    lines = [f"{bundle.path}: {bundle.manifest.precision}, {bundle.size_bytes / 1024:.0f} KiB"]
    for engine in proof.engines:
        found = engine.comparison
        lines.append(
            f"  {engine.engine}: {scores.accuracy_name} {percent(found.top1)} "
            f"(reference {percent(found.reference_top1)}), agreement {percent(found.agreement)} on "
            f"{found.images} images, largest logit error {number(found.max_error)}"
        )
        if engine.per_class is not None and engine.per_class.worst is not None:
            lines.append(f"    {worst_class(engine.per_class, scores, has_targets=found.top1 is not None)}")
    lines += [f"  {line}" for line in checked_text(proof.preprocessing, proof.checked_images)]
    if proof.unsure is not None:
        lines.append(f"  {_unsure_text(proof.unsure, scores)}")
    if proof.cascade is not None:
        lines += [f"  {line}" for line in cascade_lines(proof.cascade, proof.engines)]
    return "\n".join(lines)


def _unsure_text(found: "UnsureRecord", scores: "Scores") -> str:
    """Return the margin below which an answer is unsure, where it comes from, and its effect."""
    right = "" if found.right is None or not found.sure else f", {percent(found.right / found.sure)} of these right"
    chosen = "as stated"
    if found.chosen_on is not None:
        images = found.chosen_on
        chosen = f"chosen on {counted(images.images, 'image')} of {images.source}, {images.split}"
    return (
        f"unsure below a margin of {number(scores.unsure_margin)} ({chosen}): {percent(found.sure / found.images)} of "
        f"{counted(found.images, 'image')} are sure{right}"
    )


def quantized_text(quantized: "Quantized", *, analyze: bool) -> str:
    """Return the result of `quantize` as text, with the table of layers if `analyze` is set."""
    proof, graph = quantized.bundle.proof(), quantized.bundle.manifest.graph
    scores = quantized.bundle.manifest.scores
    left = graph.quantization.float_tensors if graph.quantization else {}
    lines = [bundle_text(quantized.bundle)]
    if graph.float_tensors:
        reasons = [f"{name}: {reason}" for name, reason in graph.float_tensors.items()]
        lines.append(f"  in float32: {few(reasons, separator='; ')}")
    if analyze:
        lines += ["", layers_text(proof.layers, left), ""]
    if proof.gate is not None:
        gated = [name.removesuffix(".weight") for name, reason in left.items() if reason.startswith("gate")]
        packed = [layer.layer for layer in proof.layers if layer.four_bits is not None and not layer.four_bits.reason]
        lines += [*_gate_lines(proof.gate, gated, packed, scores), *([] if analyze else _trades(proof.layers))]
    lines += [*four_bits_text(proof.layers), *low_rank_lines(proof.low_rank)]
    if quantized.seeds:
        lines.append(_seeds_text(quantized.seeds, scores))
    return "\n".join([*lines, _comparison_text(quantized.speed_comparison, scores)])


def layers_text(layers: "Sequence[LayerReport]", left_in_float: dict[str, str]) -> str:
    """Return a table with one line per layer, and one of the trades; `left_in_float` comes from the manifest."""
    header = ("layer", "weights dB", "input dB", "input", "clipped", "float wins", "")
    rows = [
        (
            layer.layer,
            _decibels(layer.weight_snr_db),
            _decibels(layer.input_snr_db),
            f"{number(layer.input_low)} to {number(layer.input_high)}",
            f"{layer.clipped:.3%}",
            "" if layer.float_wins is None else f"{layer.float_wins:+.3g}",
            "float" if f"{layer.layer}.weight" in left_in_float else "",
        )
        for layer in layers
    ]
    return "\n".join([columns([header, *rows], right=(1, 2, 3, 4, 5), optional=(3,)), *_trades(layers)])


def low_rank_lines(layers: "Sequence[LowRankLayer]") -> list[str]:
    """Return a title and a table with the linear layers that smaller ones replace; empty if there are none."""
    if not layers:
        return []
    header = ("layer", "outputs × inputs", "rank", "of its weights", "kept variance")
    rows = [
        (
            each.layer,
            f"{each.outputs} × {each.inputs}",
            str(each.rank),
            percent(each.share),
            percent(each.kept_variance),
        )
        for each in layers
    ]
    return ["low-rank linear layers:", columns([header, *rows], right=(1, 2, 3, 4))]


def _trades(layers: "Sequence[LayerReport]") -> list[str]:
    """Return a title and a table with the measured trades; empty if there are none."""
    rows = [
        (
            layer.layer,
            "unknown" if trade.regained is None else points(trade.regained).replace(" points", ""),
            _milliseconds(trade),
            f"{trade.added_bytes / 1e6:+.3g}",
        )
        for layer in layers
        if (trade := layer.trade) is not None
    ]
    if not rows:
        return []
    title = "trade of each layer alone in float (points regained, ms and MB added):"
    return [title, columns([("layer", "points", "ms", "MB"), *rows], right=(1, 2, 3))]


def four_bits_text(layers: "Sequence[LayerReport]") -> list[str]:
    """Return a title and a table with the linear layers that were tried in 4 bits; empty if there are none."""
    tried = [(layer.layer, trial) for layer in layers if (trial := layer.four_bits) is not None]
    rows = [
        (
            layer,
            "8" if trial.reason else "4",
            "" if trial.drop is None else points(trial.drop).replace(" points", ""),
            "" if trial.agreement is None else percent(trial.agreement),
            "" if trial.needed is None else percent(trial.needed),
            f"{trial.saved_bytes / 1e6:.3g}",
        )
        for layer, trial in sorted(tried, key=lambda each: -each[1].saved_bytes)
    ]
    if not rows:
        return []
    title = "linear layers tried in 4 bits, in turn (drop in points, MB saved):"
    header = ("layer", "bits", "drop", "agreement", "needed", "MB")
    return [title, columns([header, *rows], right=(1, 2, 3, 4, 5), optional=(2, 3, 4))]


def _milliseconds(trade: "FloatTrade") -> str:
    if trade.added_ms is None or trade.added_ms_low is None or trade.added_ms_high is None:
        return "machine busy"
    digits = 3 if abs(trade.added_ms) < 10 else 1
    return f"{trade.added_ms:+.{digits}f} [{trade.added_ms_low:+.{digits}f}, {trade.added_ms_high:+.{digits}f}]"


def _comparison_text(comparison: "SpeedComparison", scores: "Scores") -> str:
    """Return the drop and the speed on each engine, and the conclusion."""
    from edgecnn.tuning.measuring.estimates import as_fast

    lines = []
    for each in comparison.engines:
        lines.append(
            f"  {each.engine}: {scores.accuracy_name} drop {points(each.drop)}, agreement {percent(each.agreement)}"
        )
        if each.fp32_ms and each.quantized_ms and each.ratio:
            lines.append(
                f"    one image, {counted(comparison.threads, 'thread')}: "
                f"{comparison.precision.upper()} {number(each.quantized_ms.value)} ms, "
                f"FP32 {number(each.fp32_ms.value)} ms, {as_fast(each.ratio)}"
            )
        elif each.failure is not None:
            lines.append(f"    no speed comparison: {each.failure}")
    return "\n".join([*lines, comparison.conclusion])


def _gate_lines(gate: "GateRecord", left: Sequence[str], packed: Sequence[str], scores: "Scores") -> list[str]:
    """Return the drop that the gate measured, its decision and the worst class.

    `left` are the layers that it left in float, and `packed` those in 4 bits.
    """
    from edgecnn.runtime.verification.paired import say_needed

    text = f"gate: drop {points(gate.before)} on {gate.before.images} held-out images, {gate.max_drop * 100:g} allowed"
    changed = [f"{', '.join(names)} in {how}" for names, how in ((left, "float"), (packed, "4 bits")) if names]
    if changed:
        text += f"; {points(gate.after)} on {gate.after.images} with {' and '.join(changed)}"
    if gate.agreement is not None and gate.min_agreement is not None:
        text += f"; agreement {percent(gate.agreement)}, {gate.min_agreement * 100:g}% needed"
    if gate.is_undecided:
        text += f"; undecided: {say_needed(gate.images_needed)} needed"
    elif gate.decision is not None:
        text += f"; {gate.decision}"
    return [text, *([] if gate.per_class is None else [f"  {worst_class(gate.per_class, scores)}"])]


def _seeds_text(results: "Sequence[SeedResult]", scores: "Scores") -> str:
    """Return the spread over several sets of calibration images."""
    agreements = [each.agreement for each in results]
    text = f"{len(results)} calibration sets: agreement {percent(min(agreements))} to {percent(max(agreements))}"
    tops = [each.top1 for each in results if each.top1 is not None]
    return f"{text}, {scores.accuracy_name} {percent(min(tops))} to {percent(max(tops))}" if tops else text


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
