"""Routes and the handling of one request. This package must not open sockets or load models."""
