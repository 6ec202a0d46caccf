"""Locks that are open in a forked child.

Another thread of the parent may hold a lock at the fork, and that thread is not in the child. What
a lock protects has to be whole at every moment, or to be made whole by the next to hold it.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class _Owner(Protocol):
    _lock: threading.Lock


#: The objects of this process that have a lock.
_owners: weakref.WeakSet[_Owner] = weakref.WeakSet()


def give_lock(owner: _Owner) -> None:
    """Gives an object its lock, ``_lock``, in the place of which a forked child gets a new one."""
    owner._lock = threading.Lock()
    _owners.add(owner)


def _after_fork() -> None:
    for owner in _owners:
        owner._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
