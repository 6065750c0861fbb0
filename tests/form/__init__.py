"""The form of the code: how much one object and one function may hold, and that no imports make a circle."""
