"""What a server says of a model that it serves: the protocol's metadata, its configuration, and its card for people."""

from typing import Any

from edgecnn.bundle.proof import EngineProof
from edgecnn.files.schema import plain
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.server.models.version import Version


def metadata(name: str, version: Version) -> dict[str, Any]:
    """Return the protocol's model metadata."""
    return {
        "name": name,
        "versions": [version.number],
        "platform": "onnx_onnxv1",
        "inputs": [_tensor(specs[0]) for specs in version.accepted.values()],
        "outputs": [_tensor(spec) for spec in version.outputs.values()],
    }


def configuration(name: str, version: Version) -> dict[str, Any]:
    """Return the model configuration extension's answer: what perf_analyzer needs of it, and what is true here."""
    delay_us = round(version.bounds.max_delay_s * 1e6)
    return {
        "name": name,
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
        },
    }


def card(name: str, version: Version) -> dict[str, Any]:
    """Return what people want to know of a model: what it is, what was proven of it, and what runs it here.

    Accuracies are fractions; None stands where nothing was measured. `reference` is the same for all bundles that were
    made of one model.
    """
    manifest, info, self_test = version.bundle.manifest, version.info, version.self_test
    return {
        "name": name,
        "version": version.number,
        "architecture": manifest.network.architecture if manifest.network else None,
        "precision": manifest.precision,
        "labels": manifest.labels,
        "image": manifest.image_shape,
        "preprocessing": plain(manifest.preprocessing),
        "digest": version.bundle.digest,
        "reference": manifest.reference.digest,
        "created": manifest.provenance.created,
        "size_bytes": version.bundle.size_bytes,
        "macs": manifest.macs,
        "engine": {
            "name": info.engine,
            "version": info.version,
            "device": info.device,
            "precision": info.precision,
            "threads": info.threads,
            "instances": version.instances,
        },
        "proof": {
            "reference": version.proof.reference,
            "data": {
                "source": version.proof.data.source,
                "split": version.proof.data.split,
                "images": version.proof.data.images,
            },
            "engines": [_proven(each) for each in version.proof.engines],
        },
        "self_test": {
            "holds": self_test.holds,
            "images": self_test.images,
            "encoded": self_test.encoded,
            "decided": self_test.decided,
            "max_error": self_test.max_error,
            "tolerance": self_test.tolerance,
        },
    }


def _proven(engine: EngineProof) -> dict[str, Any]:
    compared = engine.comparison
    return {
        "name": engine.engine,
        "version": engine.version,
        "device": engine.device,
        "precision": engine.precision,
        "images": compared.images,
        "reference_top1": compared.reference_top1,
        "top1": compared.top1,
        "agreement": compared.agreement,
        "max_error": compared.max_error,
        "rms_error": compared.rms_error,
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _config(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": list(spec.shape[1:])}
