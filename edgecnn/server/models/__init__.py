"""Models, versions, batching, and the repository that loads them. Must not depend on HTTP or gRPC."""
