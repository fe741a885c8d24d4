"""Measures bundles on this machine and chooses the fastest setting. Must not change a bundle."""
