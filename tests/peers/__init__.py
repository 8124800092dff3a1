"""The servers that check_user works with, run for real: databases, mail servers, a fault proxy.

=============  ====================================================================
process        a server as a process: start, freeze, thaw, kill, stop
mariadb        MariaDB 10.11, from a template made once
postgresql     PostgreSQL 15, the same
faultproxy     between a client and a server: latency, silence, cuts, wrong answers
stranger       somebody else where check_user should listen
postfix        Postfix with a configuration folder and a queue of its own
qpsmtpd        qpsmtpd, forkserver and prefork
dovecot        Dovecot's LMTP server, unpacked, in a namespace of its own
exim           Exim, the same
sendmail       Sendmail, the same
namespace      other files where a server looks for them
packages       Debian packages, unpacked and not installed
fixtures       the pytest plugin: one server a session, a clean database a test
debian.sh      installs the Debian packages behind them
=============  ====================================================================

A server that isn't installed fails the run; nothing is skipped.
"""
