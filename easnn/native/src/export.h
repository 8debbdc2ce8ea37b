// What every native library exports, and how failures reach Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <new>
#include <type_traits>

// Exported functions return std::int64_t and call `guarded`.
#define EASNN_EXPORT extern "C" __attribute__((visibility("default")))

namespace easnn {

// What an exported function returns without enough memory; as NO_MEMORY in easnn/native/__init__.py.
constexpr std::int64_t kNoMemory = std::numeric_limits<std::int64_t>::min();

// Calls `work` and returns its result, or 0 if it has none. An exception would end the process if it
// reached ctypes. Only allocations throw here: std::bad_alloc, or std::length_error for sizes that
// no machine has.
template <class Work>
std::int64_t guarded(Work work) noexcept {
  try {
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      return 0;
    } else {
      return work();
    }
  } catch (...) {
    return kNoMemory;
  }
}

// Keeps what is thrown in a parallel region, which an exception must not leave, for behind it.
class Failures {
 public:
  template <class Work>
  void keep(Work work) noexcept {
    try {
      work();
    } catch (...) {
      any_.store(true, std::memory_order_relaxed);
    }
  }

  // Whether this thread failed, or another one as far as this one knows.
  bool any() const noexcept { return any_.load(std::memory_order_relaxed); }

  void rethrow() const {
    if (any()) throw std::bad_alloc();
  }

 private:
  std::atomic<bool> any_{false};
};

}  // namespace easnn
