"""dstack's events: kept, told and read on."""
