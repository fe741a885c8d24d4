"""Routes and the life of one request. Must not open sockets or load models."""
