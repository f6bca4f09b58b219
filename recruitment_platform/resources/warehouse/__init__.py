"""The embedded warehouse, and what a load is in every warehouse."""
