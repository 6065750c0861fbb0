"""`python -m dbproxy` is the command `dbproxy`."""

from dbproxy.cli import main

main()
