"""Recommendations: what of the library suits a child next, and why."""
