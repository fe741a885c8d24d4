"""The engines behind one interface, one module each. Must not import bundles."""
