"""What the simulator promises, asked through the vendors' own SDKs and documented formats."""
