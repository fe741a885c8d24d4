"""Names of the HTTP headers that the server and its clients share; as gRPC metadata they are in lower case."""

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Length in bytes of the JSON before the binary tensors in a body."""

BUNDLE_DIGEST = "X-Bundle-Digest"
"""Digest of the bundle that computed a result."""

UNSURE = "X-Unsure"
"""Places of the images whose answers are unsure, from 0, such as `0,2`. Missing if there are none."""

STAGE = "X-Stage"
"""Which graph of a cascade answered each image: `fast,accurate,fast`, or one word if it is the same for all images.
Missing for a bundle with one graph."""

SERVER_TIMING = "Server-Timing"
REQUEST_ID = "X-Request-ID"
