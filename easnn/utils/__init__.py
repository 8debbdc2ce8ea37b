"""Process groups, seeding, files, errors, logging and other helpers used by all packages."""
