"""The parent process: binds ports, starts and restarts the worker, notifies systemd. Imports no NumPy and no engine."""
