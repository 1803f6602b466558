"""Measurements, each a ratio against a reference of the same run: absolute figures are noise on shared machines."""
