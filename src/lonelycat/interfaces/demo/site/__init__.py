"""The files of the demonstration's web service, copied into its throwaway repository as they are."""
