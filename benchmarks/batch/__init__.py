"""Batch jobs: throughput as a share of the engine's, memory, and a cost model for Ray clusters."""
