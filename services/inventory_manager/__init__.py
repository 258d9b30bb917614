"""Stock, set aside and released."""
