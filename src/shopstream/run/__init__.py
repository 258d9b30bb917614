"""A run: orders through the whole shop, from the first one placed to the verdict."""

from shopstream.run.runner import Plan, Result, Runner

__all__ = ["Plan", "Result", "Runner"]
