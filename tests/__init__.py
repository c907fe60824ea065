"""The tests; shared helpers stand beside them."""

from pathlib import Path

#: The root of the checkout.
ROOT = Path(__file__).parent.parent

#: The variable that names modules and folders to leave out. pytest's own option takes each process
#: a fifth of the time for reading all others.
LEFT_OUT = "DSTACK_FLEETS_TESTS_LEFT_OUT"
