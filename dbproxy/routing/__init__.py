"""Which host answers: the primary, or a replica that is fresh enough; and what a replica could not answer."""
