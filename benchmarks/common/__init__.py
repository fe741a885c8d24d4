"""Code that several benchmarks share: tables, result files, random networks, photographs, and processes on Linux."""
