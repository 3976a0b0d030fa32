"""The files of the shop that the demonstration with services governs, copied into its repository as they are."""
