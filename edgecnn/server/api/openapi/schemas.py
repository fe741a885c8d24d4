"""JSON schemas of the pages that are the same for every model: what `service` and `descriptions` return.

Objects are closed: who adds a field to a page has to say so here, or the tests find an answer that is not as described.
"""

from typing import Any

from edgecnn.protocol.datatypes import KNOWN

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FRACTION: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
DIFFERENCE: Schema = {"type": ["number", "null"], "minimum": 0}
DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
DATATYPE: Schema = {"type": "string", "enum": sorted(KNOWN)}
SIZES: Schema = {"type": "array", "items": {"type": "integer", "minimum": 1}}


def closed(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object that has these properties and no others.

    Args:
        properties: by name.
        optional: those that may be missing.
    """
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def list_of(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def reference(name: str) -> Schema:
    """Point at a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


_NAMED = closed({"string_value": TEXT})
_SUM = closed({"count": COUNT, "ns": COUNT})
_CONFIG = closed({"name": TEXT, "data_type": {"type": "string", "pattern": "^TYPE_"}, "dims": SIZES})

_CONFIGURATION = closed(
    {
        "name": TEXT,
        "platform": {"const": "onnxruntime_onnx"},
        "backend": TEXT,
        "max_batch_size": {"type": "integer", "minimum": 1},
        "input": list_of(_CONFIG),
        "output": list_of(_CONFIG),
        "dynamic_batching": closed({"max_queue_delay_microseconds": COUNT}),
        "instance_group": list_of(closed({"kind": {"const": "KIND_CPU"}, "count": COUNT})),
        "parameters": closed({"precision": _NAMED, "digest": _NAMED, "threads": _NAMED}),
    }
)

_PROVEN = closed(
    {
        "name": TEXT,
        "version": TEXT,
        "device": TEXT,
        "precision": TEXT,
        "images": COUNT,
        "reference_top1": FRACTION,
        "top1": FRACTION,
        "agreement": FRACTION,
        "max_error": DIFFERENCE,
        "rms_error": DIFFERENCE,
    }
)

_PER_CHANNEL: Schema = {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3}
_PREPROCESSING = closed(
    {
        "mode": {"enum": ["L", "RGB"], "description": "Grey or colour."},
        "resize": {
            "anyOf": [
                {"type": "null"},
                closed(
                    {
                        "size": SIZES | {"description": "The shorter side; or height and width.", "maxItems": 2},
                        "interpolation": {"enum": ["nearest", "bilinear", "bicubic", "lanczos"]},
                    }
                ),
            ]
        },
        "crop": {"anyOf": [{"type": "null"}, SIZES | {"description": "Height and width.", "maxItems": 2}]},
        "mean": _PER_CHANNEL | {"description": "Of pixels in [0, 1]; taken off inside the graph."},
        "std": _PER_CHANNEL | {"description": "Of pixels in [0, 1]; divided by inside the graph."},
    }
)

_CARD = closed(
    {
        "name": TEXT,
        "version": TEXT,
        "architecture": TEXT,
        "precision": TEXT,
        "labels": list_of(TEXT),
        "image": SIZES | {"description": "Height, width and channels, in pixels.", "minItems": 3, "maxItems": 3},
        "preprocessing": _PREPROCESSING,
        "digest": DIGEST,
        "reference": {"type": "string", "description": "The same for all bundles that were made of one model."},
        "created": {"type": "string", "format": "date-time"},
        "size_bytes": COUNT,
        "macs": COUNT | {"type": ["integer", "null"], "description": "Multiply-accumulates of one image."},
        "engine": closed(
            {"name": TEXT, "version": TEXT, "device": TEXT, "precision": TEXT, "threads": COUNT, "instances": COUNT}
        ),
        "proof": closed(
            {
                "reference": TEXT,
                "data": closed({"source": TEXT, "split": TEXT, "images": COUNT}),
                "engines": list_of(_PROVEN),
            }
        ),
        "self_test": closed(
            {
                "holds": {"type": "boolean"},
                "images": COUNT,
                "encoded": COUNT,
                "decided": COUNT,
                "max_error": DIFFERENCE,
                "tolerance": {"type": "number", "minimum": 0},
            }
        ),
    }
)

_INFERENCE_STATISTICS = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
)  # fmt: skip
_STATISTICS = closed(
    {
        "name": TEXT,
        "version": TEXT,
        "last_inference": COUNT | {"description": "Milliseconds of Unix time; 0 where there was none."},
        "inference_count": COUNT,
        "execution_count": COUNT,
        "inference_stats": closed(dict.fromkeys(_INFERENCE_STATISTICS, _SUM)),
        "batch_stats": list_of(
            closed({"batch_size": COUNT, "compute_input": _SUM, "compute_infer": _SUM, "compute_output": _SUM})
        ),
    }
)

PAGES: dict[str, Schema] = {
    "Error": closed({"error": {"type": "string", "minLength": 1}}),
    "Server": closed({"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)}),
    "Live": closed({"live": {"const": True}}),
    "Ready": closed({"ready": {"const": True}}),
    "ModelReady": closed({"name": TEXT, "ready": {"const": True}}),
    "Tensor": closed(
        {
            "name": TEXT,
            "datatype": DATATYPE,
            "shape": list_of({"type": "integer", "minimum": -1}) | {"description": "-1 where any size will do."},
        }
    ),
    "Metadata": closed(
        {
            "name": TEXT,
            "versions": list_of(TEXT),
            "platform": {"const": "onnx_onnxv1"},
            "inputs": list_of(reference("Tensor")),
            "outputs": list_of(reference("Tensor")),
        }
    ),
    "Configuration": _CONFIGURATION,
    "Card": _CARD,
    "Statistics": closed({"model_stats": list_of(_STATISTICS)}),
    "Entry": closed(
        {
            "name": TEXT,
            "version": {"type": "string", "description": "Empty where none answers."},
            "state": {"enum": ["LOADING", "READY", "UNAVAILABLE"]},
            "reason": {"type": "string", "description": "Why it does not answer, or an older version does."},
        }
    ),
    "Index": list_of(reference("Entry")),
    "Document": {"type": "object", "required": ["openapi", "info", "paths"]},
}
"""By the names that the document has for them."""
