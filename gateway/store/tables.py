"""The tables as they are now; `migrations` has how they came to be.

Times are Unix seconds of the database's clock, in double precision, unless said otherwise.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "account_cooldowns",
    "account_limits",
    "accounts",
    "client_keys",
    "meta",
    "metadata",
    "refresh_leases",
    "requests",
    "revisions",
    "session_pins",
]

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

client_keys: Final = Table(
    "client_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("created_at", Text, nullable=False),  # ISO 8601, UTC
    Column("revoked_at", Text),
    Column("secret_id", Text),  # tells the secret key that it was hashed with from others
    UniqueConstraint("digest"),
)
"""Keys of clients, by their keyed hashes."""

accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("base_url", Text),
    Column("owner", Text, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("max_concurrency", Integer),
    Column("created_at", Double, nullable=False),
    Column("paused_at", Double),
    Column("resumed_at", Double),
    Column("condition", Text, nullable=False),
    Column("condition_reason", Text, nullable=False),
    Column("condition_since", Double, nullable=False),
    Column("secret", LargeBinary),
    Column("secret_version", BigInteger, nullable=False),
    Column("expires_at", Double),
    Column("fingerprint", Text),  # of a secret that lives in the environment
    UniqueConstraint("name"),
)
"""Accounts, with their secrets encrypted."""

account_cooldowns: Final = Table(
    "account_cooldowns",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    Column("until", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("fault", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
"""Quota families of accounts that have a rest."""

account_limits: Final = Table(
    "account_limits",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("window_name", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    Column("utilization", Double),
    Column("resets_at", Double),
    Column("status", Text, nullable=False),
    Column("observed_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),  # of the topic `limits`
)
"""How much of its limits an account has used, as its provider last said."""

refresh_leases: Final = Table(
    "refresh_leases",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("secret_version", BigInteger, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("sent_at", Double),
)
"""Who may use the single-use refresh token of which version of an account's secret, and whether it was sent."""

session_pins: Final = Table(
    "session_pins",
    metadata,
    Column("session_key", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("used_at", Double, nullable=False, index=True),
    Column("moves", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, index=True),  # of the topic `sessions`
)
"""Which account has a session's prompt cached; gateway/accounts/pins.py says what the columns mean."""

revisions: Final = Table(
    "revisions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
"""A number per topic that rises with every change; see docs/decisions/0010-polling-a-revision-row.md."""

meta: Final = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the database itself."""

requests: Final = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False, index=True),  # of the gateway's own clock
    Column("route", Text, nullable=False),
    Column("provider", Text),
    Column("account", Text),
    Column("actor_id", Text),
    Column("actor", Text),
    Column("model", Text),
    Column("stream", Boolean, nullable=False),
    Column("outcome", Text),
    Column("status", Integer),
    Column("upstream_request_id", Text),
    Column("code", Text),
    Column("reason", Text),
    Column("stop_reason", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("attempts", Text, nullable=False),  # JSON
    Column("switch", Text),  # JSON
    Column("events", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("ms_to_content", BigInteger),
    Column("ms", BigInteger),
    Column("notes", Text),  # JSON
)
"""What became of each request; gateway/ledger/row.py says what the columns mean."""
