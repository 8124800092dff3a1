"""Schemas: the tables of the products that people keep their accounts in, as data.

``declaration`` is the language, and each product has a module in it. No SQL is here: what becomes
of a schema is made by ``directory.sql``. :data:`SCHEMAS` has them by the name in ``schema=``.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import Schema
from check_user.directory.schemas.froxlor import FROXLOR
from check_user.directory.schemas.iredmail import IREDMAIL
from check_user.directory.schemas.ispconfig import ISPCONFIG
from check_user.directory.schemas.ispmail import ISPMAIL
from check_user.directory.schemas.mailcow import MAILCOW
from check_user.directory.schemas.mailinabox import MAILINABOX
from check_user.directory.schemas.mailu import MAILU
from check_user.directory.schemas.modoboa import MODOBOA
from check_user.directory.schemas.postfixadmin import POSTFIXADMIN
from check_user.directory.schemas.vexim import VEXIM
from check_user.directory.schemas.vpopmail import VPOPMAIL

__all__ = ["SCHEMAS", "Schema"]

SCHEMAS = {
    schema.name: schema
    for schema in (
        POSTFIXADMIN,
        VEXIM,
        IREDMAIL,
        MAILCOW,
        MODOBOA,
        MAILINABOX,
        ISPCONFIG,
        FROXLOR,
        VPOPMAIL,
        MAILU,
        ISPMAIL,
    )
}
