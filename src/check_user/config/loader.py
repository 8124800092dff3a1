"""From a file to :class:`Settings`: what is missing, what goes together, what wins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from check_user.config import lines
from check_user.config.dbi import parse_database
from check_user.config.declaring import REQUIRED, Key
from check_user.config.error import ConfigError
from check_user.config.lines import Entry
from check_user.config.settings import KEYS, LATER, Settings
from check_user.config.values import Secret, meant

SEARCHED = (Path("/etc/check_user/check_user.conf"), Path("/etc/qpsmtpd/check_user"))
"""Where a configuration is looked for when neither ``--config`` nor the environment names one."""

VARIABLE = "CHECK_USER_CONFIG"

LONGEST_PASSWORD_FILE = 4096
"""Octets; bounds what a wrong path (``/dev/zero``) can do."""


def find(
    given: str | None,
    environment: Mapping[str, str] = os.environ,
    searched: Sequence[Path] = SEARCHED,
) -> Path:
    """Choose the file: the given one, ``$CHECK_USER_CONFIG``, or the first of ``searched``.

    Raises ConfigError when nothing is named and nothing is there.
    """
    named = given or environment.get(VARIABLE)
    if named:
        return Path(named)
    for file in searched:
        if file.exists():
            return file
    places = " and ".join(map(str, searched))
    raise ConfigError(searched[0], 0, "", f"no configuration: looked in ${VARIABLE}, {places}")


def load(path: Path) -> Settings:
    """Read and check a configuration, its password file included. Raises ConfigError."""
    return parse(path, contents(path))


def contents(path: Path) -> bytes:
    """Read a configuration's octets. Raises ConfigError."""
    try:
        return lines.read(path)
    except OSError as error:
        raise ConfigError(path, 0, "", f"can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(path, 0, "", str(error)) from None


def parse(path: Path, data: bytes) -> Settings:
    """Make settings of a file's octets; ``path`` is for messages and relative paths.

    Reads no other file than the one of ``passwd_file``. Raises ConfigError.
    """
    return _Loader(path, data).settings()


NAMES = ("email_table", "domain_table", "domain_domain", "email_address", "email_user",
         "email_domain", "email_enabled", "email_enabled_value")  # fmt: skip
"""The keys that name tables and fields."""


class _Loader:
    """One load: the entries by key, then the values, then the rules between keys."""

    def __init__(self, file: Path, data: bytes) -> None:
        self._file = file
        self._given: dict[str, list[Entry]] = {}
        for entry in lines.entries(file, data):
            self._accept(entry)

    def settings(self) -> Settings:
        values = {name: self._value(declared) for name, declared in KEYS.items()}
        self._choose_source(values)
        self._require_all(values)
        self._choose_fields(values)
        self._merge_database(values)
        values["passwd"] = self._password(values)
        if values["email_enabled"] and "email_enabled_value" not in self._given:
            raise self._error("email_enabled", "needs email_enabled_value as well")
        if values["email_enabled_value"] and not values["email_enabled"]:
            raise self._error("email_enabled_value", "needs email_enabled, the field, as well")
        self._check_tls(values)
        self._check_listen(values)
        return Settings(file=self._file, **values)

    def _error(self, key: str, message: str) -> ConfigError:
        given = self._given.get(key)
        return ConfigError(self._file, given[-1].line if given else 0, key, message)

    def _accept(self, entry: Entry) -> None:
        def error(message: str) -> ConfigError:
            return ConfigError(self._file, entry.line, entry.key, message)

        if entry.key in LATER:
            raise error(f"not known to this version: {LATER[entry.key]}")
        if entry.key not in KEYS:
            raise error(f"not a key of ours{meant(entry.key, KEYS)}")
        before = self._given.setdefault(entry.key, [])
        if before and not KEYS[entry.key].repeatable:
            raise error(f"given a second time, after line {before[0].line}")
        before.append(entry)

    def _value(self, key: Key) -> Any:
        entries = self._given.get(key.name)
        if not entries:
            return key.default
        if key.default is not REQUIRED and not key.repeatable and not entries[0].value:
            return key.default
        found = []
        for entry in entries:
            try:
                found.append(key.type.parse(entry.value))
            except ValueError as error:
                raise ConfigError(self._file, entry.line, key.name, str(error)) from None
        if key.repeatable:
            return tuple(
                replace(value, line=entry.line) for value, entry in zip(found, entries, strict=True)
            )
        return found[0]

    def _require_all(self, values: dict[str, Any]) -> None:
        if values["driver"] == "sqlite":  # has neither
            values.update({k: "" for k in ("user",) if values[k] is REQUIRED})
        missing = [name for name, value in values.items() if value is REQUIRED]
        if "passwd" in missing and ("passwd_file" in self._given or values["driver"] == "sqlite"):
            values["passwd"] = Secret()
            missing.remove("passwd")
        if not (values["email_address"] or values["schema"] or values["email_query"]):
            missing += [name for name in ("email_user", "email_domain") if not values[name]]
        if {"email_user", "email_domain"} <= set(missing):
            missing = [name for name in missing if name not in ("email_user", "email_domain")]
            missing.append("email_address (or email_user and email_domain)")
        if missing:
            raise ConfigError(self._file, 0, "", f"missing: {', '.join(missing)}")

    def _choose_source(self, values: dict[str, Any]) -> None:
        """Accounts are in a known schema, behind the site's own queries, or in named tables."""
        chosen = [key for key in ("schema", "email_query") if values[key]]
        for key in chosen:
            beside = [*NAMES, *(other for other in chosen if other != key)]
            for other in beside:
                if other in self._given and values[other]:
                    raise self._error(other, f"goes without '{key}': one of the two")
        if chosen:
            values.update({name: "" for name in NAMES if values[name] is REQUIRED})
        if bool(values["email_query"]) != bool(values["domain_query"]):
            given = "email_query" if values["email_query"] else "domain_query"
            raise self._error(given, "email_query and domain_query go together")
        for key in ("schema_prefix", "schema_table", "schema_value", "check_alias_targets"):
            if values[key] and not values["schema"]:
                raise self._error(key, "is of no use without 'schema'")

    def _choose_fields(self, values: dict[str, Any]) -> None:
        if values["email_address"]:
            values.update(email_user="", email_domain="")

    def _merge_database(self, values: dict[str, Any]) -> None:
        """Put what ``database`` says in DBI's way where the keys of our own would have put it."""
        try:
            source = parse_database(values["driver"], values["database"])
        except ValueError as error:
            raise self._error("database", str(error)) from None
        values["database"] = source.database
        named = {
            "host": (source.host,) if source.host else (),
            "port": source.port,
            "socket": source.socket,
        }
        for key, value in named.items():
            if value and values[key]:
                raise self._error(key, "is named in 'database' as well")
            values[key] = value or values[key]
        if values["socket"] and values["host"]:
            if "host" in self._given and "socket" in self._given:
                raise self._error("socket", "goes without 'host': one of the two")
            # DBD::mysql: a socket given beside a host that isn't this machine is not used.
            local = all(host.is_loopback for host in values["host"])
            values["host" if local else "socket"] = () if local else ""
        if not values["tls"]:
            own = "host" in self._given and any(not host.is_loopback for host in values["host"])
            values["tls"] = "verify" if own else "off"

    def _password(self, values: dict[str, Any]) -> Secret:
        if not values["passwd_file"]:
            secret: Secret = values["passwd"]
            return secret
        if values["passwd"] != Secret():
            raise self._error("passwd_file", "goes without 'passwd': one of the two")
        path = self._file.parent / values["passwd_file"]
        values["passwd_file"] = str(path)
        try:
            text = lines.read(path, LONGEST_PASSWORD_FILE).decode("utf-8")
        except OSError as error:
            raise self._error("passwd_file", f"{path} can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self._error("passwd_file", f"{path} is not UTF-8") from None
        except ValueError as error:
            raise self._error("passwd_file", f"{path} {error}") from None
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise self._error("passwd_file", f"{path} is empty")
        if any(ord(c) < 32 and c != "\t" for c in text):
            raise self._error("passwd_file", f"{path} must hold one line, the password")
        return Secret(text)

    def _check_listen(self, values: dict[str, Any]) -> None:
        addresses = set()
        for listen in values["listen"]:
            if listen.address in addresses:
                message = f"{listen.address} a second time: one door an address"
                raise ConfigError(self._file, listen.line, "listen", message)
            addresses.add(listen.address)

    def _check_tls(self, values: dict[str, Any]) -> None:
        if values["tls"] == "verify" and (values["driver"] == "sqlite" or values["socket"]):
            raise self._error("tls", "there is no TLS over a unix socket or to a file")
        for key in ("tls_ca", "tls_cert", "tls_key"):
            if values[key] and values["tls"] == "off":
                raise self._error(key, "is of no use with 'tls=off'; write 'tls=verify'")
            if values[key]:
                values[key] = str(self._file.parent / values[key])
        if bool(values["tls_cert"]) != bool(values["tls_key"]):
            given = "tls_cert" if values["tls_cert"] else "tls_key"
            raise self._error(given, "tls_cert and tls_key go together")
