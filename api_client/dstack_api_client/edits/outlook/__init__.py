"""What an edit of a service would do to its replicas, and what to be warned of."""

__all__ = ["dryrun", "giving_way", "outlooks", "warnings"]
