"""Which fields may hold something secret: the list is that of `dstack_api_client.secrets`."""

from dstack_api_client.secrets import is_secret, keepable, may_be_kept

__all__ = ["is_secret", "keepable", "may_be_kept"]
