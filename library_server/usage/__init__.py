"""Counting what is used."""
