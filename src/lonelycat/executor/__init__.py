"""The all-or-nothing file writer: lock, journal, transaction, recovery, rollback.

Importing any of it on a system where it cannot work raises ``PLATFORM_UNSUPPORTED``, before a module that is missing
there could raise something less helpful.
"""

from lonelycat.platforms import native_calls

native_calls()
