"""A run: orders through the whole shop, from the first one placed to the verdict."""

from shopstream.run.plan import Plan
from shopstream.run.runner import Result, Runner

__all__ = ["Plan", "Result", "Runner"]
