"""The service over gRPC, beside HTTP and with the same models. Imported only where `--grpc-port` asks for it."""

import os

# Before the library is imported. Its core would write to stderr past our log, a line for each client that fails in TLS,
# with what that client has sent in it; and it would look after children that are never forked from here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
