// Decoders of recordings.
