"""What a job looks at before it goes on, so that the application, the replicas and the disk can bear it."""
