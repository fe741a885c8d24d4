"""The page of a comparison of networks."""

from edgecnn.pages.page import LanguageChoice, Page, render
from edgecnn.pipeline.reporting.networks import NetworksContent, TrainedNetwork
from edgecnn.pipeline.reporting.report_page import HELPERS, PACKAGE
from edgecnn.pipeline.reporting.texts import reliability_of

CONFUSED = 5
"""Most confused pairs of classes of each network."""


def networks_page(content: NetworksContent, language: LanguageChoice = "auto") -> Page:
    """Return the page of a comparison, as one file without external resources."""
    return render(
        PACKAGE,
        "networks.html",
        scripts=("networks.js",),
        styles=("reporting.css",),
        charts=True,
        language=language,
        data={
            "networks": [each.name for each in content.networks],
            "curves": [_curves(each) for each in content.networks],
            "points": [
                {
                    "network": each.variant.network,
                    "precision": each.variant.precision.upper(),
                    "engine": each.engine,
                    "ms": each.p50_ms.value,
                    "top1": each.variant.metrics.top1.value,
                    "front": each.on_front,
                }
                for each in content.candidates
            ],
            "reliability": [
                reliability_of(f"{each.network} {each.precision.upper()}", each.metrics)
                for network in content.networks
                for each in network.variants[:1]
            ],
        },
        content=content,
        floor=min((each.metrics.top1.low for each in content.variants), default=0.0),
        confused=CONFUSED,
        **HELPERS,
    )


def _curves(network: TrainedNetwork) -> dict[str, object]:
    """Return the training curves of a network, as JSON values."""
    history = network.record.history
    return {
        "loss": [each.loss for each in history],
        "validation_loss": [each.validation_loss for each in history],
        "accuracy": [each.accuracy for each in history],
        "validation_top1": [each.validation_top1 for each in history],
    }
