"""Reads weights that other tools wrote. Must not train or export."""
