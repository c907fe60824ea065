"""Runs in dstack's database: their specs with lanes, and the jobs of their replicas."""

__all__ = ["finding", "replica_jobs", "samples", "specs"]
