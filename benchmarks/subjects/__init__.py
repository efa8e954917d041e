"""What is measured, a module each: `ROUNDS`, and `run(bench)`."""

NAMES = (
    "alone",
    "echo",
    "latency",
    "sync",
    "beside",
    "fanout",
    "burst",
    "restarts",
    "stalled",
    "connects",
    "memory",
    "growth",
    "imports",
)
