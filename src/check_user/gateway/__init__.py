"""The gateway: an SMTP server's decisions, as qpsmtpd's plugins took them, and the next hop.

The codec (``protocols.smtp``) reads commands and asks questions; here they are answered::

    session      one client: a question in, a reply out; Received header, loops
    crowd        how many clients a network has here, and how often it has guessed
    chain        the plugins, in the order of qpsmtpd's file ``plugins``
    plugins/     check_user, rcpt_ok, tls, queue/smtp-forward, queue/maildir
    files        qpsmtpd's files: plugins, rcpthosts, relayclients, me
    delivery     what a queue plugin gives a session: a way for its mail
    passage      that way through an SMTP or LMTP server, beside the client's own transaction
    nexthop      that server: where it is, what it offers
    connection   one connection to it; ``commands`` and ``replies`` are its two directions
    maildir      that way into a folder
    header       the Received field, and how many the message has already

A mail that the client was told 250 for has been taken by the queue: the gateway owns no queue, no
spool, and no mail. What goes wrong, wherever, is a 4xx with a constant text, and one report.

It knows no configuration but qpsmtpd's files, and opens no port: ``servers`` and ``app`` do.
"""
