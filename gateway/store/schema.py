"""The revisions of the tables, and how a database gets from one to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from attrs import define, field
from sqlalchemy import Connection, inspect, text

from gateway.store.errors import StoreError

__all__ = ["Schema"]

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x637367  # any number that others are unlikely to take for their advisory lock
_FIRST: Final = "0.1.0"
"""Stands for what that version made, which wrote down no revision."""


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

    def revision(self, connection: Connection) -> str:
        """Return the revision of the tables in a database; `0.1.0` for what that version made, empty for none."""
        found = MigrationContext.configure(connection).get_current_heads()
        if found:
            return ", ".join(sorted(found))
        return _FIRST if inspect(connection).has_table("client_keys") else ""

    def refuse_older(self, connection: Connection) -> None:
        """See that nothing is there that an upgrade would change.

        Raises:
            StoreError: the tables are those of an older version of the program.
        """
        if not self.is_current(connection) and (found := self.revision(connection)):
            raise StoreError(
                f"the database is of an older version ({found}, this is {self.head}); `gateway serve` brings it "
                "up to date; copy it first if you may want to go back"
            )

    def upgrade(self, connection: Connection, *, only_new: bool = False) -> str | None:
        """Bring the tables up to date, within the transaction of `connection`.

        Args:
            connection: in a transaction that writes.
            only_new: make tables where there are none, and change no others.

        Returns:
            The revision before, as of `revision`; None if another process is at it: look again.

        Raises:
            StoreError: the tables are of a newer version of the program; or of an older one, with `only_new`.
        """
        if connection.dialect.name == "postgresql":
            # Held until the transaction ends. SQLite has but one writer anyway.
            lock = text("SELECT pg_try_advisory_xact_lock(:key)")
            if not connection.execute(lock, {"key": _LOCK}).scalar_one():
                return None
        if only_new:
            self.refuse_older(connection)
        before = self.revision(connection)
        if not self.is_current(connection):
            self._run(connection, lambda at: self._scripts._upgrade_revs("head", at))  # noqa: SLF001 - as Alembic's manual does
        return before

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
