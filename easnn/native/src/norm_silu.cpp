// Batch norm and SiLU, z·sigmoid(z), in one pass over the memory.
//
// Values are stored channels last: [rows, channels], where a row is a position of an image.

#include <cstdint>
#include <vector>

#include "export.h"
#include "numbers.h"
#include "rows.h"

namespace easnn {
namespace {

template <class Stored>
void forward(const Stored* x, const Affine<computed_t<Stored>>& norm, const Layout& layout,
             Stored* out, int threads) {
  using Real = computed_t<Stored>;
  layout.each_block(threads, [&](int64_t block) {
    layout.tiles(block, [&](int64_t first, int64_t count) {
      const Real *scale = norm.scale.data(), *shift = norm.shift.data();
      const Stored* from = x + first;
      Stored* to = out + first;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) {
        const Real z = std::fma(widen(from[i]), scale[i], shift[i]);
        store(to[i], z * sigmoid(z));
      }
    });
  });
}

template <class Stored>
void backward(const Stored* grad, const Stored* x, const computed_t<Stored>* mean,
              const computed_t<Stored>* inverse_std, const Affine<computed_t<Stored>>& norm,
              bool of_batch, const Layout& layout, Stored* grad_x, computed_t<Stored>* grad_weight,
              computed_t<Stored>* grad_bias, int threads) {
  using Real = computed_t<Stored>;
  NormGradient<Real> of_norm(layout, mean, inverse_std, norm, of_batch);
  layout.each_block(threads, [&](int64_t block) {
    typename NormGradient<Real>::Sums sums(layout);
    std::vector<Real> of_z(layout.width());
    layout.tiles(block, [&](int64_t first, int64_t count) {
      const Real *scale = norm.scale.data(), *shift = norm.shift.data();
      const Stored *from = x + first, *of_out = grad + first;
      Real* into = of_z.data();
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) {
        const Real z = std::fma(widen(from[i]), scale[i], shift[i]);
        const Real s = sigmoid(z);
        into[i] = widen(of_out[i]) * s * std::fma(z, 1 - s, Real(1));
      }
      of_norm.add(sums, into, from, grad_x + first, count);
    });
    of_norm.put(block, sums);
  });
  if (mean) of_norm.finish(x, 1, grad_weight, grad_bias, grad_x, threads);
}

}  // namespace
}  // namespace easnn

using namespace easnn;

// From x [rows, channels] to SiLU of its norm, which may be written over x; without a norm, the four
// pointers to its values are null.
EASNN_EXPORT int64_t easnn_norm_silu(int type, const void* x, const void* mean,
                                     const void* inverse_std, const void* weight,
                                     const void* bias, int64_t rows, int64_t channels, void* out,
                                     int threads) {
  return with_type(type, [&](auto* of_type) {
    using Stored = pointee<decltype(of_type)>;
    using Real = computed_t<Stored>;
    const Layout layout(rows, channels);
    const Affine<Real> norm(layout, static_cast<const Real*>(mean),
                            static_cast<const Real*>(inverse_std),
                            static_cast<const Real*>(weight), static_cast<const Real*>(bias));
    forward(static_cast<const Stored*>(x), norm, layout, static_cast<Stored*>(out), threads);
  });
}

EASNN_EXPORT int64_t easnn_norm_silu_backward(int type, const void* grad, const void* x,
                                              const void* mean, const void* inverse_std,
                                              const void* weight, const void* bias, int of_batch,
                                              int64_t rows, int64_t channels, void* grad_x,
                                              void* grad_weight, void* grad_bias, int threads) {
  return with_type(type, [&](auto* of_type) {
    using Stored = pointee<decltype(of_type)>;
    using Real = computed_t<Stored>;
    const Layout layout(rows, channels);
    const auto* mu = static_cast<const Real*>(mean);
    const auto* inverse = static_cast<const Real*>(inverse_std);
    const Affine<Real> norm(layout, mu, inverse, static_cast<const Real*>(weight),
                            static_cast<const Real*>(bias));
    backward(static_cast<const Stored*>(grad), static_cast<const Stored*>(x), mu, inverse, norm,
             of_batch != 0, layout, static_cast<Stored*>(grad_x), static_cast<Real*>(grad_weight),
             static_cast<Real*>(grad_bias), threads);
  });
}
