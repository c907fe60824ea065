"""What an edit begins with, and what differs between two specs."""
