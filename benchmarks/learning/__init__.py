"""Measures and counts what the chapters on architectures of `edgecnn learn` show.

Results are written to `edgecnn/learning/architectures/data`, and committed.
"""
