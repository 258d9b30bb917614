"""Stand-ins for software that cannot be had without its owner's repository. None of them is the real thing."""
