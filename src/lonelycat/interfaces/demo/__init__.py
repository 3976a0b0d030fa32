"""The demonstration: a throwaway repository with a real web service, and what happens to changes in it."""
