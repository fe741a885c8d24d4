"""What several benchmarks share: tables, files of results, random networks, photographs, and processes on Linux."""
