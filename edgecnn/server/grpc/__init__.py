"""The gRPC transport and its calls. Must not hold logic that HTTP needs too: that belongs in `api`."""
