"""What operators run: it looks across all features, so it stands above them."""
