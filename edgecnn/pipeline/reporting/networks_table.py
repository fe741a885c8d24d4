"""The table of a comparison of networks, as CSV and as Markdown."""

import csv
import io

from edgecnn.pipeline.reporting.networks import NetworksContent

_COLUMNS = (
    *("network", "precision", "engine", "top1", "top1_low", "top1_high", "images", "calibration_error"),
    *("parameters", "macs", "size_bytes", "p50_ms", "p50_ms_low", "p50_ms_high", "on_pareto_front"),
    *("epochs", "best_epoch", "training_s", "digest"),
)


def as_csv(content: NetworksContent) -> str:
    """Return one row for each bundle and engine, unrounded. A bundle that no engine measured has one row."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for network in content.networks:
        record = network.record
        for variant in network.variants:
            top1, cost = variant.metrics.top1, variant.inspection
            for engine in content.engines or ("",):
                found = content.speed_of(variant, engine)
                p50 = None if found is None else found.p50_ms
                writer.writerow(
                    (
                        *(network.name, variant.precision, engine, top1.value, top1.low, top1.high, top1.images),
                        *(variant.metrics.calibration_error, cost.parameters, cost.macs, variant.bundle.size_bytes),
                        *(("", "", "") if p50 is None else (p50.value, p50.low, p50.high)),
                        "" if found is None else found.on_front,
                        *(record.options.epochs, record.best_epoch, record.duration_s, variant.bundle.digest),
                    )
                )
    return buffer.getvalue()


def as_markdown(content: NetworksContent) -> str:
    """Return one row for each bundle. The times on the Pareto front are bold."""
    header, *rows = content.rows(on_front="**{}**")
    lines = [header, ("---", "---", *("---:" for _ in header[2:])), *rows]
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)
