"""Runs a verification command where nothing that it does reaches the host, and tells what it tried.

Outside, in LonelyCat's process: ``level.py`` finds out what the machine can do, ``view.py`` decides what the command
sees, ``observed.py`` reads what it did. Inside, in a process of its own that needs the standard library only:
``launcher.py`` makes the namespaces, ``room.py`` the tree, ``enter.py`` goes in, ``watch.py`` holds the limits,
``effects.py`` looks what was written. ``spec.py`` is what the two sides say to each other.
"""
