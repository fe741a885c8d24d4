"""Batch jobs: classify many images, write the answers in shards, and continue after an interruption.

Must not import the pipeline, the server or Ray.
"""
