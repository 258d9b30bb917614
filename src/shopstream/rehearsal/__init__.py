"""Rehearsals of a deployment on this machine: what stands in for AWS, and what is learnt from it."""
