"""The parent process: binds ports, starts the worker again, and notifies systemd. Must not import NumPy or an engine."""
