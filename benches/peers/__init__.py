"""This library beside faiss, turbovec and rabitqlib; `python -m benches.peers` runs it."""
