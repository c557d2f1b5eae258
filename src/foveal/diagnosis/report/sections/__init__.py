"""One part of the page a file: runs in, blocks out; none where no run has anything to say."""
