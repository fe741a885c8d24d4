"""The gRPC transport and its calls. Logic that HTTP also needs belongs in `api`."""

import os

# gRPC's core reads this at import. It logs to stderr without Python's logging; by default, it writes a line for each
# failed TLS handshake.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
