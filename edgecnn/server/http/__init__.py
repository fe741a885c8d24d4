"""HTTP/1.1 transport: connections, limits, and TLS. Must not know models or routes."""
