// Vectors as wide as the processor's registers, by the vector types of GCC and Clang.
#pragma once

#include <immintrin.h>

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

// By intrinsics: loops over the lanes are not always vectorised. multiply_add is a·b + c, rounded
// once.
#ifdef __AVX512F__
inline Vec<float> broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec<double> broadcast(double value) { return _mm512_set1_pd(value); }
inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
#else
inline Vec<float> broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec<double> broadcast(double value) { return _mm256_set1_pd(value); }
inline Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
#endif

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
