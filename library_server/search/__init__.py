"""Finding items by words: full-text search, near spellings, and titles as one types."""
