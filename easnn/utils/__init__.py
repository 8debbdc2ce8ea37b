"""Rank and world, seeding, files, errors and logging: what every other room stands on."""
