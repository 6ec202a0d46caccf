"""An index: quantized rows with ids, which can be added, removed, searched and saved."""

from blockquant.index._index import Index

__all__ = ["Index"]
