"""What ``peers.py`` holds: each module is one kind of work, done by this package and by its peers."""
