"""Parts of `benches/inference.py`: model, text, caches, measures and verdicts."""
