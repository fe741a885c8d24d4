"""Models, versions, batching, and the repository that loads them. Must not know HTTP or gRPC."""
