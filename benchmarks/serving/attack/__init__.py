"""Floods that try to exhaust `edgecnn serve`, clients that measure it meanwhile, and a table with verdicts.

Everything runs on the loopback and is bounded in time, connections and memory.
"""
