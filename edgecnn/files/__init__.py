"""Atomic files and folders, locks, digests, and strict JSON. Must not import other packages of edgecnn.

All output files of edgecnn are written here, atomically.
"""
