"""The bench: how fast ``check-user serve`` answers, beside what else could be asked.

    make bench                                   both parts, five rounds each, under eight minutes
    python -m bench smtp                         one part; the other's section stays as it is
    python -m bench smtp --accounts 20000 --rounds 1 --output /tmp/bench.md

The part ``doors`` asks the doors, beside the bare drivers and ``postmap``; the part ``smtp`` asks
the gateway, beside other mail servers.

==============  ==============================================================================
accounts        who is stored, and the load: half known, half unknown
databases       SQLite, MariaDB, PostgreSQL with the same accounts
doors           the part ``doors``: its contenders, goals, section
contenders      check_user's doors, the bare drivers, ``postmap``, a null server
drivers         the bare drivers, in a process of their own
smtp            the part ``smtp``: its contenders, goals, section
mailservers     the gateway, qpsmtpd, Haraka, Exim, Postfix, with limits lifted
bare            as little SMTP in Python as the load needs
peers/          plugins and configurations of the other mail servers, and npm's lock file
rounds          every contender a run a round, and ratios within a round
report          tables; writes ``docs/benchmarks.md``, a section for each part
generator       the programs in C, compiled into ``.cache`` at each run
loadgen.c       the load generator of the doors
smtpgen.c       the load generator of mail servers; shares ``load.h``
nullserver.c    a door, or a mail server, without anything behind it
==============  ==============================================================================

Every contender has one run a round, in an order that is random in each round, so that a machine
that drifts drifts for all; what is compared is compared within a round. Linux only; the part
``smtp`` as root (Exim and Postfix run under accounts of their own).
"""
