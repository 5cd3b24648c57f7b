"""What is taken for the same moment."""

#: The clocks of several machines, and looks at one clock, differ by less. A time further ahead was
#: written before the clock was set back.
DIFFER_SECONDS = 60.0
