"""Moves bundles: pack, unpack, install, roll back, and sign. Must not import an engine."""
