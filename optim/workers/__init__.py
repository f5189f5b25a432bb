"""Where trials are evaluated: tasks, threads, processes, clusters."""
