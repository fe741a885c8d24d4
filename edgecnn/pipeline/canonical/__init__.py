"""Rewrite any FP32 graph to the form that the quantizer reads: one form of each layer, and a name for each."""
