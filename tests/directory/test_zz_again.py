import pytest
from tests.directory.test_network import slow
from tests.directory.asking import *
import asyncio
@pytest.mark.parametrize("n", range(22))
async def test_again(postgresql, n):
    postgresql.execute(ACCOUNTS)
    await asyncio.gather(*(slow(postgresql, late) for late in (0.5, 2.0, 10.0)))
