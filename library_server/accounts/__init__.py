"""Who asks: tokens, and the parents and children they name (both tables are the backend's, read only)."""
