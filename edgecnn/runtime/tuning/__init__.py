"""Which engine, bundle and setting is the fastest here among those that answer well enough; kept as a profile."""
