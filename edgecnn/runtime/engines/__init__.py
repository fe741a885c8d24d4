"""The engines behind one interface, one file for each. Must not know bundles."""
