// The hash of the sources that a library was built from (easnn/native/sources.py).
#include <cstdint>

#include "export.h"

EASNN_EXPORT std::uint64_t easnn_sources() { return EASNN_SOURCES; }
