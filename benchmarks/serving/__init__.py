"""`edgecnn serve`: throughput and latency compared with other servers, overload, endurance, and conformance.

`peers/` contains the other servers, which run in their own environments.
"""
