"""Is what was deployed there? A list, line by line, as AWS itself reports it and not as Terraform remembers it."""

from shopstream.aws.confirm.checking import confirm
from shopstream.aws.confirm.model import Expected, Host, Line

__all__ = ["Expected", "Host", "Line", "confirm"]
