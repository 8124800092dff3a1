"""The replica: a local SQLite file with every recipient, listed from the database.

It answers for known recipients in microseconds and while the database is away, and it never refuses
on its own word while the database can be asked. The only room that imports sqlite3. From the bottom
up: ``clock`` (ages that no hand can set), ``trust`` (whose file it is, and who may write it),
``schema`` (the format and its proofs), ``generation`` (one file, verified), ``since`` (what became
of it), ``draft`` (the next one), ``reader`` (following the file).

A generation is a file that never changes: the next one is written aside and renamed into place. So
there is no journal to roll back, no lock to wait for and no half-written state to be seen, whenever
a writer is killed; who reads goes on with the file that is open. The price is that a change of one
row writes the whole file (50 MB for a million accounts); the pace of the listings bounds it.
"""

from check_user.directory.replica.clock import Clock, Stamp
from check_user.directory.replica.draft import Difference, Draft, Trouble
from check_user.directory.replica.generation import Generation, open_generation, peek
from check_user.directory.replica.reader import Replica
from check_user.directory.replica.schema import Meta
from check_user.directory.replica.since import Since, read_since, write_since
from check_user.directory.replica.trust import Busy, Lock, Unusable

__all__ = [
    "Busy",
    "Clock",
    "Difference",
    "Draft",
    "Generation",
    "Lock",
    "Meta",
    "Replica",
    "Since",
    "Stamp",
    "Trouble",
    "Unusable",
    "open_generation",
    "peek",
    "read_since",
    "write_since",
]
