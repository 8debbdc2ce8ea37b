// Vectors as wide as the processor's registers, by the vector types of GCC and Clang.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// The functions here are inlined: no vector crosses the boundary of a library.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace easnn {

#ifdef __AVX512F__
constexpr int kVectorBytes = 64, kRegisters = 32;
#else
constexpr int kVectorBytes = 32, kRegisters = 16;
#endif

template <class Real>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(Real));

template <class Real>
struct VectorOf {
  typedef Real type __attribute__((vector_size(kVectorBytes)));
};
template <class Real>
using Vec = typename VectorOf<Real>::type;

template <class Real>
inline Vec<Real> load_vector(const Real* from) {
  Vec<Real> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <class Real>
inline void store_vector(Real* to, Vec<Real> v) {
  std::memcpy(to, &v, sizeof v);
}

template <class Real>
inline Vec<Real> broadcast(Real value) {
  Vec<Real> v;
  for (int i = 0; i < kLanes<Real>; ++i) v[i] = value;
  return v;
}

template <class Real>
inline Vec<Real> multiply_add(Vec<Real> a, Vec<Real> b, Vec<Real> c) {
  Vec<Real> v;
  for (int i = 0; i < kLanes<Real>; ++i) v[i] = std::fma(a[i], b[i], c[i]);
  return v;
}

// The sum of the lanes, by halves.
template <class Real>
inline Real sum_lanes(Vec<Real> v) {
  Real lanes[kLanes<Real>];
  std::memcpy(lanes, &v, sizeof v);
  for (int half = kLanes<Real> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

}  // namespace easnn
