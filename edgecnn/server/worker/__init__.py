"""The process that serves: `python -m edgecnn.server.worker JOB`. Must not be imported by other packages."""
