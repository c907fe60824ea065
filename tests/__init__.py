"""The tests; shared helpers stand beside them."""

from pathlib import Path

#: The root of the checkout.
ROOT = Path(__file__).parent.parent
