"""The bench: how fast ``check-user serve`` answers, beside what else could be asked.

    make bench                                   every part, five rounds each, some 22 minutes
    python -m bench smtp                         one part; the others' sections stay as they are
    python -m bench smtp --accounts 20000 --rounds 1 --output /tmp/bench.md
    python -m bench sizes --accounts 10000000    the largest size, too

==============  ==============================================================================
doors           part: the doors, beside the bare drivers and ``postmap``
schemas         part: a known product's tables, beside one plain table
smtp            part: the gateway, beside other mail servers
postfix         part: Postfix with check_user, its own maps, a stub, or no check
replica         part: the doors with a replica, beside a stub and ``postmap``
sizes           part: how the replica grows, how soon it serves, how soon it is right
accounts        who is stored, and the load: half known, half unknown, or everybody known
databases       SQLite, MariaDB, PostgreSQL with the same accounts
contenders      check_user's doors, the bare drivers, a null server
maps            Postfix's own maps, and ``postmap``
drivers         the bare drivers, in a process of their own
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
that drifts drifts for all; what is compared is compared within a round. Linux only; the parts
``smtp`` and ``postfix`` as root (Exim and Postfix run under accounts of their own).
"""
