"""The stages of the road as functions, from paths and names to results. Must not print, and must not parse options."""
