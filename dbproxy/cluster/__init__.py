"""The hosts of one PostgreSQL cluster: who is primary, who is fit to answer a read, and who answers this one."""
