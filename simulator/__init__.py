"""SendGrid, Amazon SES and Postmark on loopback: wire APIs, limits, faults, signed webhooks."""

from simulator.foreground import serve
from simulator.server import Running, start

__all__ = ["Running", "serve", "start"]
