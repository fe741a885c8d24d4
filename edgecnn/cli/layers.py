"""What quantizing has done to each layer, and what INT8 costs and gains: as lines of text."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecnn.cli.output import columns, percent, points

if TYPE_CHECKING:
    from edgecnn.bundle.proof import GateRecord, LayerReport
    from edgecnn.pipeline.quantization.spread import SeedResult
    from edgecnn.pipeline.quantization.verdict import Verdict


def worst_first(layers: "Sequence[LayerReport]") -> "list[LayerReport]":
    """Sort layers by their signal-to-noise ratio; where each was tried in float, they stand in order already."""
    if any(layer.float_wins is not None for layer in layers):
        return list(layers)

    def ratio(layer: "LayerReport") -> float:
        return min(math.inf if each is None else each for each in (layer.weight_snr_db, layer.input_snr_db))

    return sorted(layers, key=ratio)


def layers_text(layers: "Sequence[LayerReport]", left_in_float: dict[str, str]) -> str:
    """Return a table, one line a layer, in their order; `left_in_float` is the manifest's."""
    header = ("layer", "weights dB", "input dB", "input from", "to", "clipped", "float wins", "")
    rows = [
        (
            layer.layer,
            _decibels(layer.weight_snr_db),
            _decibels(layer.input_snr_db),
            f"{layer.input_low:.3g}",
            f"{layer.input_high:.3g}",
            f"{layer.clipped:.3%}",
            "" if layer.float_wins is None else f"{layer.float_wins:+.3g}",
            "float" if f"{layer.layer}.weight" in left_in_float else "",
        )
        for layer in layers
    ]
    return columns([header, *rows], right=(1, 2, 3, 4, 5, 6))


def verdict_text(verdict: "Verdict") -> str:
    """Return what INT8 costs and gains on each engine, and the conclusion."""
    lines = [
        f"  {each.engine}: top-1 drop {points(each.drop)}, agreement {percent(each.agreement)}; one image "
        f"{each.int8_ms.value:.3g} ms, FP32 {each.fp32_ms.value:.3g} ms ({each.faster:.2f} × as fast)"
        for each in verdict.engines
    ]
    return "\n".join([*lines, verdict.conclusion])


def gate_text(gate: "GateRecord", left: Sequence[str]) -> str:
    """Return what the gate measured, and what it left in float."""
    text = f"gate: drop {points(gate.before)} on {gate.before.images} held-out images, {gate.max_drop * 100:g} allowed"
    if left:
        text += f"; {points(gate.after)} with {', '.join(left)} in float"
    return text


def seeds_text(results: "Sequence[SeedResult]") -> str:
    """Return the spread over several choices of calibration images."""
    agreements = [each.agreement for each in results]
    text = f"{len(results)} calibration sets: agreement {percent(min(agreements))} to {percent(max(agreements))}"
    tops = [each.top1 for each in results if each.top1 is not None]
    return f"{text}, top-1 {percent(min(tops))} to {percent(max(tops))}" if tops else text


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
