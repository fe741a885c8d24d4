"""The server's own description: an OpenAPI 3.1 document that is true for this server, its options and its models."""
