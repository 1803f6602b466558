"""The HTTP that all routes share."""
