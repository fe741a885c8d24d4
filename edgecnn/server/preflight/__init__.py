"""Checks a bundle in a child process before the server opens it. Must not know models or requests."""
