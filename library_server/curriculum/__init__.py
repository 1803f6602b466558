"""The curriculum: lessons, nursery rhymes and units, listed, read and maintained; one description serves each."""
