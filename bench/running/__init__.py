"""From a request to stored rows: the grid, its plan and its processes, one worker's run, the training loop."""
