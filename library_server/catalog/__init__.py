"""The catalogue: the items of ``content_library``, listed, read and maintained."""
