# Compiled as it is: each client that leaves runs it.
