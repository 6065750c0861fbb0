"""What an operator sees of a proxy from outside, over the console's connection: `dbproxy admin` and `dbproxy top`."""
