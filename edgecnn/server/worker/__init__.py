"""The worker process: `python -m edgecnn.server.worker JOB`. Other packages must not import it."""
