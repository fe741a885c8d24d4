"""The chapters on architectures: how each is built, what it brought, and measurements that show it.

The measurements are in `data`; `python -m benchmarks.learning.run` writes them. The package must not import the
pipeline.
"""
