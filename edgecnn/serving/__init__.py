"""Bundles over a network: the Open Inference Protocol v2, batching, and a process that is hard to kill."""
