"""HTTP/1.1 with bounds on everything: bytes, time, connections."""
