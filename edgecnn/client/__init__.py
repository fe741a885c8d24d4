"""Asks a server that serves bundles, or several of them; no engine is needed where it runs."""
