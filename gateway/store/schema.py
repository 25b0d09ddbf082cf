"""The revisions of the tables, and how a database gets from one to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from attrs import define, field
from sqlalchemy import Connection, text

from gateway.store.errors import StoreError

__all__ = ["Schema"]

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x637367  # any number that others are unlikely to take for their advisory lock


@define(frozen=True)
class Schema:
    """The revisions that this program knows."""

    _scripts: ScriptDirectory = field(repr=False)
    head: str
    """The newest of them."""
    known: frozenset[str]

    @classmethod
    def load(cls) -> Schema:
        """Read the revisions from the package; reads files."""
        scripts = ScriptDirectory(str(_MIGRATIONS))
        known = [script.revision for script in scripts.walk_revisions()]
        return cls(scripts, known[0], frozenset(known))

    def is_current(self, connection: Connection) -> bool:
        """Return whether a database needs no change.

        Raises:
            StoreError: it is of a newer version of the program.
        """
        revisions = MigrationContext.configure(connection).get_current_heads()
        if set(revisions) - self.known:
            raise StoreError(
                "the database was made by a newer version of the gateway; run that version, or give this one "
                "another database with GATEWAY_DATABASE_URL"
            )
        return revisions == (self.head,)

    def upgrade(self, connection: Connection) -> bool:
        """Bring the tables up to date, within the transaction of `connection`.

        Returns:
            False if another process is at it; look again.
        """
        if connection.dialect.name == "postgresql":
            # Held until the transaction ends. SQLite has but one writer anyway.
            lock = text("SELECT pg_try_advisory_xact_lock(:key)")
            if not connection.execute(lock, {"key": _LOCK}).scalar_one():
                return False
        if not self.is_current(connection):
            self._run(connection, lambda at: self._scripts._upgrade_revs("head", at))  # noqa: SLF001 - as Alembic's manual does
        return True

    def migrate(self, connection: Connection, revision: str) -> None:
        """Bring the tables to a revision, `head` or `base`, within the transaction of `connection`."""
        current = MigrationContext.configure(connection).get_current_revision()
        order = ["base", *reversed([script.revision for script in self._scripts.walk_revisions()]), "head"]
        up = order.index(revision) >= order.index(current or "base")
        steps = self._scripts._upgrade_revs if up else self._scripts._downgrade_revs  # noqa: SLF001 - as Alembic's manual does
        self._run(connection, lambda at: steps(revision, at))

    def _run(self, connection: Connection, steps: Callable[[Any], Iterable[Any]]) -> None:
        context = MigrationContext.configure(
            connection, opts={"fn": lambda at, _: steps(at), "transactional_ddl": True}
        )
        with Operations.context(context):
            context.run_migrations()
