"""Run a command with sockets handed over as sd_listen_fds(3) has it: `handover.py 57,58 NAMES COMMAND …`."""

import os
import sys

_, descriptors, names, *command = sys.argv
given = [int(descriptor) for descriptor in descriptors.split(",") if descriptor]
for place, descriptor in enumerate(given, 3):
    os.dup2(descriptor, place)
    os.close(descriptor)
variables = {"LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": names}
os.execve(command[0], command, {"LISTEN_PID": str(os.getpid()), **variables, **os.environ})
