"""What the backend shares with us: its Redis and the tables it made."""
