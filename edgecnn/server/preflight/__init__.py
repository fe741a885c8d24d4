"""Check a bundle in a child process before the server opens it. This package must not import models or requests."""
