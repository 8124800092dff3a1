"""The shells: they own sockets and the order of answers, and decide nothing. All are asyncio's but
the last two.

- ``listen``: an address in the configuration becomes listening sockets;
- ``capacity``: how many clients the process may have;
- ``accept``: clients off a listening socket, as far as there is room;
- ``connection``: one client: bytes to the codec, questions to ``decide``, answers in order;
- ``stream``: the server: its connections, their time limits, its end;
- ``stdio``: a mail server's child, which speaks on standard input and output;
- ``client``: one who asks the ``line`` door; the child does.
"""
