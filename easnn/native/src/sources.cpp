// The hash of the sources and options that a library was built from (easnn/native/sources.py).
#include <cstdint>

#include "export.h"

// In memory, not in code, so that Python finds it in the file before it loads the library.
EASNN_EXPORT const std::uint64_t easnn_sources = EASNN_SOURCES;
