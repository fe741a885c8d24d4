"""The gRPC transport and its calls. Must not hold logic that HTTP needs too: that belongs in `api`."""

import os

# The library's core reads this when it is imported. It writes to stderr, past Python's logging, and by default a line
# for every client that fails the TLS handshake.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
