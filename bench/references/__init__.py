"""What the server is measured against: honest and small."""
