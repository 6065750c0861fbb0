# Compiled as it is: each login runs it.
