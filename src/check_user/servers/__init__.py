"""The asyncio shells: they own sockets and the order of answers, and decide nothing.

- ``listen``: an address in the configuration becomes listening sockets;
- ``capacity``: how many clients the process may have;
- ``accept``: clients off a listening socket, as far as there is room;
- ``connection``: one client: bytes to the codec, questions to ``decide``, answers in order;
- ``stream``: the server: its connections, their time limits, its end.
"""
