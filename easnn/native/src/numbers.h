// Types of stored numbers, and functions of them that a compiler can vectorise.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace easnn {

// As the codes in easnn/kernels/arrays.py.
enum class Type : int { float32 = 0, float64 = 1, bfloat16 = 2 };

struct BFloat16 {
  std::uint16_t bits;
};

template <class To, class From>
inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// The type in which numbers of a stored type are computed.
template <class Stored>
struct Computed {
  using type = Stored;
};
template <>
struct Computed<BFloat16> {
  using type = float;
};
template <class Stored>
using computed_t = typename Computed<Stored>::type;

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(BFloat16 x) { return bit_cast<float>(std::uint32_t{x.bits} << 16); }

inline void store(float& to, float x) { to = x; }
inline void store(double& to, double x) { to = x; }
// Round to nearest, ties to even. A NaN stays one.
inline void store(BFloat16& to, float x) {
  const auto bits = bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  to.bits = static_cast<std::uint16_t>(x == x ? rounded : 0x7FC0u);
}

// The polynomial whose coefficients follow, the highest power first. There is no loop over them: it
// would keep compilers from vectorising the loop around it.
template <class Real>
inline Real polynomial(Real, Real last) {
  return last;
}
template <class Real, class... Rest>
inline Real polynomial(Real x, Real high, Real next, Rest... rest) {
  return polynomial(x, std::fma(high, x, next), rest...);
}

// By value: a loop around std::clamp, which chooses between references, is not vectorised. A NaN
// stays one.
template <class Real>
inline Real clamp(Real x, Real low, Real high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

// exp(x) to about one unit in the last place: x = n·ln 2 + r, a polynomial of r, times 2^n.
inline float exponential(float x) {
  constexpr float round_magic = 12582912.0f;  // 1.5·2^23: adding it rounds to an integer
  x = clamp(x, -87.0f, 88.0f);
  const float n = std::fma(x, 1.44269504f, round_magic) - round_magic;
  const float r = std::fma(n, -1.42860677e-6f, std::fma(n, -0.693145752f, x));
  const float p = polynomial(r, 1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f,
                             1.0f);
  const auto power = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
  return p * bit_cast<float>(power);
}

inline double exponential(double x) {
  constexpr double round_magic = 6755399441055744.0;  // 1.5·2^52
  x = clamp(x, -708.0, 709.0);
  const double shifted = std::fma(x, 1.4426950408889634, round_magic);
  const double n = shifted - round_magic;
  const double r =
      std::fma(n, -1.9082149292705877e-10, std::fma(n, -0.6931471803691238, x));
  const double p = polynomial(r, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                              1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24,
                              1.0 / 6, 0.5, 1.0, 1.0);
  // The integer n stands in the low bits of the shifted number.
  const auto power = (bit_cast<std::uint64_t>(shifted) + 1023) << 52;
  return p * bit_cast<double>(power);
}

// Whether all values are finite. What skips products with zero asks for it: 0·∞ is not 0.
template <class Real>
inline bool all_finite(const Real* values, std::int64_t count) {
  int found = 0;
#pragma omp simd reduction(| : found)
  for (std::int64_t i = 0; i < count; ++i)
    found |= std::abs(values[i]) <= std::numeric_limits<Real>::max() ? 0 : 1;
  return found == 0;
}

template <class Real>
bool all_finite(const Real* values, std::int64_t count, int threads) {
  constexpr std::int64_t part = 16384, alone = 32 * part;  // what takes less than threads' waiting
  int found = 0;
#pragma omp parallel for num_threads(threads) if (threads > 1 && count > alone) reduction(| : found)
  for (std::int64_t first = 0; first < count; first += part)
    found |= all_finite(values + first, std::min(part, count - first)) ? 0 : 1;
  return found == 0;
}

template <class Real>
inline Real sigmoid(Real x) {
  return 1 / (1 + exponential(-x));
}

}  // namespace easnn
