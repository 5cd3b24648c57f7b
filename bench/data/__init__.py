"""Lists and newsletters of real size, made on demand and the same every time."""
