"""Process groups, seeding, files, errors, logging and other helpers of all packages."""
