"""HTTP/1.1 transport: connections, limits, and TLS. This package must not import models or routes."""
