"""Inspect a network layer by layer: shapes, parameters, MACs and receptive fields."""
