"""Hooks of SnapStart, for functions: what is to run before the snapshot is taken and in each instance
that goes on from it.

Documentation: Developer Guide, "Implement code before or after Lambda function snapshots", Python.
"""
_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Runs at the end of the init phase, the one registered last first. Also a decorator."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Runs in a restored instance before its first event, in the order of registration."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    return list(reversed(_before_snapshot))


def get_after_restore():
    return list(_after_restore)
