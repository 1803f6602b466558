"""The curriculum tables."""
