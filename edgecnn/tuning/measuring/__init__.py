"""Measures latency, throughput and memory in child processes. Must not decide which setting is best."""
