"""Parcels, or the end of an order without one."""
