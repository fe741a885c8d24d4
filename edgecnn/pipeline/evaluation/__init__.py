"""Measure a network's accuracy, with confidence intervals."""
