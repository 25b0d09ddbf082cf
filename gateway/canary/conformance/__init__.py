"""Whether a gateway keeps what clients of Claude rely on: rules, what the upstream does for each, a score card.

The gateway under test is a black box between a client and an upstream that are both ours. Nothing here depends on
how it was made; only `sse_fsm` judges what came out of it.
"""
