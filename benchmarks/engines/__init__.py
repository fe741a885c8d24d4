"""Networks in one process: latency compared with other tools, overhead of the runtime, parity, and data loading."""
