"""The first Lambda."""
