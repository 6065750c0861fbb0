"""Answers that are kept, and are never staler than they may be."""
