"""Describe a model: the protocol's metadata, its configuration, and its card.

Each function raises `Refusal` if the model is not ready.
"""

from typing import Any

from edgecnn.bundle.proof import EngineProof
from edgecnn.files.schema import plain
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Version


def metadata(model: Model) -> dict[str, Any]:
    """Return the protocol's model metadata."""
    version = model.version
    return {
        "name": model.name,
        "versions": [str(version.number)],
        "platform": "onnx_onnxv1",
        "inputs": [_tensor(specs[0]) for specs in version.accepted.values()],
        "outputs": [_tensor(spec) for spec in version.outputs.values()],
    }


def configuration(model: Model) -> dict[str, Any]:
    """Return the fields of the model configuration extension that perf_analyzer reads."""
    version = model.version
    delay_us = round(version.bounds.max_delay_s * 1e6)
    return {
        "name": model.name,
        "platform": "onnxruntime_onnx",
        "backend": version.info.engine,
        "max_batch_size": version.bounds.max_batch,
        "input": [_config(specs[0]) for specs in version.accepted.values()],
        "output": [_config(spec) for spec in version.outputs.values()],
        "dynamic_batching": {"max_queue_delay_microseconds": delay_us},
        "instance_group": [{"kind": "KIND_CPU", "count": version.instances}],
        "parameters": {
            "precision": {"string_value": version.bundle.manifest.precision},
            "digest": {"string_value": version.bundle.digest},
            "threads": {"string_value": str(version.info.threads)},
        }
        | _cascade_parameters(version),
    }


def card(model: Model) -> dict[str, Any]:
    """Return a model's card: its properties, its proof, and the engine that runs it.

    Accuracies are fractions; a value that was not measured is None. All bundles built from one network have the same
    `reference`.
    """
    version = model.version
    manifest, info = version.bundle.manifest, version.info
    return {
        "name": model.name,
        "version": str(version.number),
        "architecture": manifest.network.architecture if manifest.network else None,
        "precision": manifest.precision,
        "labels": manifest.labels,
        "scores": _chosen(manifest.scores, "activation", "multi_label", "threshold", "unsure_margin"),
        "image": manifest.image_shape,
        "preprocessing": plain(manifest.preprocessing),
        "digest": version.bundle.digest,
        "reference": manifest.reference.digest,
        "created": manifest.provenance.created,
        "size_bytes": version.bundle.size_bytes,
        "macs": manifest.macs,
        "cascade": _cascade(version),
        "engine": {"name": info.engine, **_chosen(info, "version", "device", "precision", "threads")}
        | {"instances": version.instances},
        "proof": {
            "reference": version.proof.reference,
            "data": _chosen(version.proof.data, "source", "split", "images"),
            "engines": [_proven(each) for each in version.proof.engines],
        },
        "self_test": _chosen(version.self_test, "holds", "images", "encoded", "decided", "max_error", "tolerance"),
    }


def _cascade(version: Version) -> dict[str, Any] | None:
    """Return the threshold of a cascade, its bundles, and the share of images that ran again when it was made."""
    cascade = version.bundle.manifest.cascade
    if cascade is None:
        return None
    return {**_chosen(cascade, "threshold", "fast", "accurate"), "share": version.sealed_share}


def _cascade_parameters(version: Version) -> dict[str, Any]:
    cascade = version.bundle.manifest.cascade
    return {} if cascade is None else {"cascade_threshold": {"string_value": str(cascade.threshold)}}


def _chosen(value: object, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _proven(engine: EngineProof) -> dict[str, Any]:
    compared = ("images", "reference_top1", "top1", "agreement", "max_error", "rms_error")
    return {
        "name": engine.engine,
        **_chosen(engine, "version", "device", "precision"),
        **_chosen(engine.comparison, *compared),
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _config(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": list(spec.shape[1:])}
