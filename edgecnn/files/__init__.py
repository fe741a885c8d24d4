"""Atomic files and folders, locks, digests, and strict JSON. Must not import other packages of edgecnn.

Every file that edgecnn writes is written here: it appears complete or not at all.
"""
