"""The composition root: settings become objects here, and nowhere else. It alone knows everything.

What the commands call:

- ``serve``: run every door in the foreground until a signal ends it;
- ``asking``: open the directory and ask about addresses;
- ``doctor``: the findings about a configuration;
- ``demo``: a database and a configuration to play with.

What serving is made of: ``doors`` (their names and protocols, and binding them), ``build``
(settings to directory and check), ``gateway`` (what is behind the smtp door), ``generation`` (one
configuration, proven), ``serving`` (the doors of one process), ``lifecycle`` (start, signals,
reload, end) of a ``service`` in one process or of a ``supervisor`` with ``worker`` processes
(``control`` is the wire between them), ``process``, ``log``, and ``notify`` (systemd).

Each is imported by itself: the supervisor has no use for a database's driver.
"""
