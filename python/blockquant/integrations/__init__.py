"""Compressed caches and codes in other frameworks; each module needs an extra of the package."""
