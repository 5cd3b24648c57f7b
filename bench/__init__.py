"""How fast the product is beside other ways to send the same mail (docs/performance.md)."""
