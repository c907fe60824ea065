"""What each list shows: columns, and the cells of one row from plain data."""
