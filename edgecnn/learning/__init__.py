"""Pages about convolutional networks: what each operation computes, to try in the browser, and the architectures.

The pages are static and need no server. The package computes nothing in Python; it must not import the pipeline.
"""
