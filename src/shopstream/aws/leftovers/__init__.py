"""What of a deployment is still there, asked of each service by itself.

The tagging API alone is not enough: it does not know roles, addresses, keys, mappings and others. So every kind of
thing has a lister of its own here, and the tagging API is asked besides for kinds that have none. A kind that could
not be asked is named: silence is no proof that nothing is there.
"""

from shopstream.aws.leftovers.listing import find
from shopstream.aws.leftovers.model import Found, Inventory, Unasked

__all__ = ["Found", "Inventory", "Unasked", "find"]
