"""The documents and clients that cases cite in `Case.source`."""

REST = "OIP v2 inference_rest.md"
"""github.com/kserve/open-inference-protocol, specification/protocol, commit d49cc23."""

YAML = "OIP v2 open_inference_rest.yaml"
"""The OpenAPI document in the same folder."""

BINARY = "Triton extension_binary_data.md"
"""github.com/triton-inference-server/server, docs/protocol, commit e1db8a6; the next four too."""

CLASSIFICATION = "Triton extension_classification.md"
STATISTICS = "Triton extension_statistics.md"
CONFIGURATION = "Triton extension_model_configuration.md"
REPOSITORY = "Triton extension_model_repository.md"
SCHEDULING = "Triton extension_schedule_policy.md"

HTTP = "RFC 9110"
MESSAGES = "RFC 9112"
JSON = "RFC 8259"

TRITONCLIENT = "tritonclient 2.73 http"
PERF_ANALYZER = "perf_analyzer 2.48"
KSERVE = "kserve InferenceRESTClient"

FAILED = (
    f'{REST}, Inference Response JSON Error Object: "A failed inference request must be indicated by an HTTP error '
    'status (typically 400). The HTTP body must contain the $inference_error_response object."'
)
