"""Chaos: a database that freezes, dies and returns, accounts that come and go, and every answer of
``check-user serve`` judged."""
