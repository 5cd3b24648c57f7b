"""`python -m simulator`: reads the command line and serves."""

import argparse
import sys

from simulator.foreground import serve
from simulator.server import NotLoopbackError

USAGE_ERROR = 64


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="simulator",
        description="SendGrid, Amazon SES and Postmark on loopback, with faults and webhooks.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=5001, help="0 takes a free port")
    parser.add_argument("--db", default="data/simulator.db", help="delivery log, outbox and keys")
    parser.add_argument("--webhook-target", help="where events go, as http://127.0.0.1:5000")
    parser.add_argument("--engagement", type=float, help="share of delivered mail that is read")
    parser.add_argument("--parent-pid", type=int, help="exit when this process is gone")
    given = parser.parse_args()
    try:
        return serve(
            given.db, given.port, given.host, given.webhook_target, given.engagement,
            given.parent_pid,
        )  # fmt: skip
    except (NotLoopbackError, ValueError, OSError) as problem:
        sys.stderr.write(f"simulator: {problem}\n")
        return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
