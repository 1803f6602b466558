"""Development: embedded servers, demo families and the sample library."""
