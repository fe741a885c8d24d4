"""Latency, throughput, and memory, measured in child processes. Must not decide which setting is best."""
