"""What tests are given: snapshots, answers of a server, specs, and apps on them."""
