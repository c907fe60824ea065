"""How things, figures and faults are put into words, on screens and for commands."""
