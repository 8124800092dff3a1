"""The bench: how fast ``check-user serve`` answers, beside what else could be asked.

    make bench                                   five rounds, under five minutes
    python -m bench --accounts 1000000 --rounds 9 --output /tmp/bench.md

==============  ==============================================================================
accounts        who is stored, and the load: half known, half unknown
databases       SQLite, MariaDB, PostgreSQL with the same accounts
contenders      check_user's doors, the bare drivers, ``postmap``, a null server
drivers         the bare drivers, in a process of their own
report          medians and ratios; writes ``docs/benchmarks.md``
loadgen.c       the load generator, compiled into ``.cache`` at each run
nullserver.c    a door without anything behind it
==============  ==============================================================================

Every contender has one run a round, in an order that is random in each round, so that a machine
that drifts drifts for all; what is compared is compared within a round. Linux only.
"""
