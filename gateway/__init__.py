"""A self-hosted streaming gateway for Claude.

A request comes in at the data plane, which knows its actor by a key. An account is picked from the pool and the
request is sent on with that account's credential, its body untouched. Until the first piece of content arrives
the gateway holds the answer back, so that what goes wrong can still be answered with an honest HTTP status, or
tried elsewhere. From then on bytes flow through a `sse_fsm.StreamGuard`, which alone decides what the client
sees. When the stream has ended, well or not, one record says what became of it.

Only `dataplane` and `replay` touch sockets of the Messages API; imports run one way, from `wire` up to `cli`.
"""
