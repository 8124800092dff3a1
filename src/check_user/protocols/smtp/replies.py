r"""Replies (RFC 5321 4.2): how one is written, and those that the codec gives by itself.

    250-2.1.5 first line\r\n
    250 2.1.5 last line\r\n

Every line has the code and, where there is one, the enhanced code (RFC 2034 4), and at most 512
octets (RFC 5321 4.5.3.1.5). Texts are constant; none repeats what a client sent.
"""

from __future__ import annotations

from check_user.protocols import one_line
from check_user.protocols.smtp import Reply


def write(reply: Reply) -> bytes:
    """Give the octets of a reply; no text in it can end a line."""
    start = f"{reply.code} {reply.enhanced} " if reply.enhanced else f"{reply.code} "
    if len(reply.lines) == 1:
        return f"{start}{one_line(reply.lines[0])}\r\n".encode()
    *lines, last = reply.lines or ("",)
    more = start.replace(" ", "-", 1)
    written = [f"{more}{one_line(line)}\r\n" for line in lines]
    return "".join([*written, f"{start}{one_line(last)}\r\n"]).encode()


FAULT = Reply(451, "4.3.0", ("Internal error - try later",))
"""For a question that got no reply; never a 5xx."""

OK = b"250 2.0.0 OK\r\n"
CHUNK_TAKEN = b"250 2.0.0 Chunk received\r\n"
HELP = b"214 2.0.0 See RFC 5321\r\n"
CANNOT_VERIFY = b"252 2.0.0 Send some mail, and see\r\n"
READY_FOR_TLS = b"220 2.0.0 Ready to start TLS\r\n"

UNKNOWN_COMMAND = b"500 5.5.1 Command unknown\r\n"
LINE_TOO_LONG = b"500 5.5.2 Line too long\r\n"
BARE_LINE_END = b"500 5.5.2 A line ends with CR LF, and neither stands alone\r\n"
NUL_IN_COMMAND = b"500 5.5.2 A command has no NUL\r\n"
NOT_IMPLEMENTED = b"502 5.5.1 Command not implemented\r\n"

NO_ARGUMENT = b"501 5.5.4 No parameters are allowed\r\n"
NAME_WANTED = b"501 5.5.4 Syntax: EHLO name\r\n"
MAIL_WANTED = b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"
RCPT_WANTED = b"501 5.5.4 Syntax: RCPT TO:<address>\r\n"
CHUNK_WANTED = b"501 5.5.4 Syntax: BDAT size [LAST]\r\n"
BAD_SENDER = b"501 5.1.7 Malformed sender address\r\n"
BAD_RECIPIENT = b"501 5.1.3 Malformed recipient address\r\n"
NOT_TEXT = b"501 5.5.2 Not UTF-8\r\n"
BAD_VALUE = b"501 5.5.4 A parameter's value is wrong\r\n"
TWICE = b"501 5.5.4 A parameter is there twice\r\n"
UNKNOWN_PARAMETER = b"555 5.5.4 A parameter is unknown or not offered\r\n"
NOT_ASCII = b"553 5.6.7 Addresses beyond ASCII need the parameter SMTPUTF8\r\n"

HELLO_FIRST = b"503 5.5.1 Say EHLO first\r\n"
MAIL_FIRST = b"503 5.5.1 Say MAIL first\r\n"
RCPT_FIRST = b"503 5.5.1 Say RCPT first\r\n"
RSET_FIRST = b"503 5.5.1 A chunk was refused: say RSET first\r\n"
NESTED_MAIL = b"503 5.5.1 There is a transaction already\r\n"
IN_TRANSACTION = b"503 5.5.1 Not within a transaction\r\n"
IN_CHUNKS = b"503 5.5.1 More of the message is due: say BDAT\r\n"
TLS_ALREADY = b"503 5.5.1 TLS is in use already\r\n"
NO_RECIPIENTS = b"554 5.5.1 No valid recipients\r\n"

TOO_MANY_RECIPIENTS = b"452 4.5.3 Too many recipients\r\n"
TOO_BIG = b"552 5.3.4 Message too big\r\n"
BARE_IN_CONTENT = b"550 5.6.11 The message has a NUL, or a CR or LF that stands alone\r\n"

EARLY = b"554 5.5.1 You spoke before the greeting\r\n"
NOT_SMTP = b"554 5.5.1 This is SMTP\r\n"
INJECTED = b"554 5.5.1 Octets came after STARTTLS and before TLS\r\n"
