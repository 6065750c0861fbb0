"""What may be switched at run time, one step after the other, and turned back."""
