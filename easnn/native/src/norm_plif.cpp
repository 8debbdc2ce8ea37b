// Batch norm and parametric leaky integrate-and-fire neurons in one pass over the memory.
//
// Values are stored channels last: [steps, rows, channels], where a row is a position of an image.

#include <cstdint>
#include <vector>

#include "export.h"
#include "numbers.h"
#include "rows.h"

namespace easnn {
namespace {

enum class Surrogate : int { atan = 0, sigmoid = 1, rect = 2 };

template <class Stored>
void moments(const Stored* x, int64_t rows, int64_t channels, double* mean, double* variance,
             int threads) {
  using Real = computed_t<Stored>;
  const Layout layout(rows, channels);
  // Sums of the differences from one of the values do not cancel if the mean is large.
  std::vector<Real> origin(channels);
  for (int64_t c = 0; c < channels; ++c) origin[c] = widen(x[c]);
  const std::vector<Real> from = layout.tiled(origin.data());
  BlockSums sums(layout), squares(layout);
  layout.each_block(threads, [&](int64_t block) {
    std::vector<double> sum(layout.width()), square(layout.width());
    layout.tiles(block, [&](int64_t first, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        const double d = static_cast<double>(widen(x[first + i])) - from[i];
        sum[i] += d;
        square[i] = std::fma(d, d, square[i]);
      }
    });
    sums.put(block, sum);
    squares.put(block, square);
  });

  const std::vector<double> sum = sums.total(), square = squares.total();
  for (int64_t c = 0; c < channels; ++c) {
    const double offset = sum[c] / rows;
    mean[c] = origin[c] + offset;
    variance[c] = std::max(square[c] / rows - offset * offset, 0.0);  // a NaN stays one
  }
}

template <class Stored>
void forward(const Stored* x, const Affine<computed_t<Stored>>& norm, computed_t<Stored> keep,
             const Layout& layout, int steps, int steps_in, Stored* spikes, int threads) {
  using Real = computed_t<Stored>;
  layout.each_block(threads, [&](int64_t block) {
    std::vector<Real> membrane(layout.width());
    layout.tiles(block, [&](int64_t first, int64_t count) {
      Real* v = membrane.data();
      const Real *scale = norm.scale.data(), *shift = norm.shift.data();
      for (int t = 0; t < steps; ++t) {
        const Stored* in = x + (steps_in == 1 ? 0 : t) * layout.values() + first;
        Stored* out = spikes + t * layout.values() + first;
        const Real kept = t == 0 ? Real(0) : keep;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const Real current = std::fma(widen(in[i]), scale[i], shift[i]);
          const Real h = t == 0 ? current : std::fma(v[i], kept, current);
          const Real s = h >= 1 ? Real(1) : Real(0);
          v[i] = h - s;
          store(out[i], s);
        }
      }
    });
  });
}

template <Surrogate kind, class Real>
inline Real derivative(Real x, Real alpha) {
  if constexpr (kind == Surrogate::atan) {
    const Real scaled = Real(1.5707963267948966) * alpha * x;
    return alpha / 2 / std::fma(scaled, scaled, Real(1));
  } else if constexpr (kind == Surrogate::sigmoid) {
    const Real s = sigmoid(alpha * x);
    return (1 - s) * s * alpha;
  } else {
    return std::abs(x) < 1 / (2 * alpha) ? alpha : Real(0);
  }
}

template <class Real>
struct Gradients {
  Real *weight, *bias;  // [channels], or null without a norm
  double* keep;
};

template <Surrogate kind, class Stored>
void backward(const Stored* grad_spikes, const Stored* x, const computed_t<Stored>* mean,
              const computed_t<Stored>* inverse_std, const Affine<computed_t<Stored>>& norm,
              bool batch_statistics, computed_t<Stored> keep, const Layout& layout, int steps,
              int steps_in, computed_t<Stored> alpha, Stored* grad_x,
              Gradients<computed_t<Stored>> gradients, int threads) {
  using Real = computed_t<Stored>;
  const int64_t step = layout.values(), width = layout.width();
  NormGradient<Real> of_norm(layout, mean, inverse_std, norm, batch_statistics);
  BlockSums sum_of_keep(layout);
  layout.each_block(threads, [&](int64_t block) {
    std::vector<Real> charged(steps * width), carried(width), shared(width);
    std::vector<Real> keeps(width);
    typename NormGradient<Real>::Sums sums(layout);
    layout.tiles(block, [&](int64_t first, int64_t count) {
      const Real *scale = norm.scale.data(), *shift = norm.shift.data();
      // The membrane before resets H is computed again, instead of stored by the forward pass.
      for (int t = 0; t < steps; ++t) {
        const Stored* in = x + (steps_in == 1 ? 0 : t) * step + first;
        Real* h = &charged[t * width];
        const Real* before = h - (t == 0 ? 0 : width);
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const Real current = std::fma(widen(in[i]), scale[i], shift[i]);
          const Real v = before[i] - (before[i] >= 1 ? Real(1) : Real(0));
          h[i] = t == 0 ? current : std::fma(v, keep, current);
        }
      }
      Real *carry = carried.data(), *into = shared.data();
      std::fill(carried.begin(), carried.end(), Real(0));
      std::fill(shared.begin(), shared.end(), Real(0));
      for (int t = steps - 1; t >= 0; --t) {
        const Stored* grad = grad_spikes + t * step + first;
        const Real* h = &charged[t * width];
        const Real* before = h - (t == 0 ? 0 : width);
        const bool writes = steps_in > 1 || t == 0;
        const int64_t at = (steps_in == 1 ? 0 : t) * step + first;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const Real through_spike =
              (widen(grad[i]) - carry[i]) * derivative<kind>(h[i] - 1, alpha);
          const Real g = carry[i] + through_spike;
          const Real v = before[i] - (before[i] >= 1 ? Real(1) : Real(0));
          keeps[i] = t == 0 ? keeps[i] : std::fma(v, g, keeps[i]);
          carry[i] = g * keep;
          into[i] = steps_in == 1 ? into[i] + g : g;
        }
        if (writes) of_norm.add(sums, into, x + at, grad_x + at, count);
      }
    });
    of_norm.put(block, sums);
    sum_of_keep.put(block, keeps);
  });

  *gradients.keep = 0;
  for (const double value : sum_of_keep.total()) *gradients.keep += value;
  if (mean) of_norm.finish(x, steps_in, gradients.weight, gradients.bias, grad_x, threads);
}

}  // namespace
}  // namespace easnn

using namespace easnn;

// Mean and biased variance of each channel over all steps and rows.
EASNN_EXPORT int64_t easnn_moments(int type, const void* x, int64_t rows, int64_t channels,
                                   double* mean, double* variance, int threads) {
  return with_type(type, [&](auto* of_type) {
    using Stored = pointee<decltype(of_type)>;
    moments(static_cast<const Stored*>(x), rows, channels, mean, variance, threads);
  });
}

// From currents [steps_in, rows, channels] to spikes [steps, rows, channels]; without a norm, the
// four pointers to its values are null.
EASNN_EXPORT int64_t easnn_norm_plif(int type, const void* x, const void* mean,
                                     const void* inverse_std, const void* weight,
                                     const void* bias, double keep, int64_t rows,
                                     int64_t channels, int steps, int steps_in, void* spikes,
                                     int threads) {
  return with_type(type, [&](auto* of_type) {
    using Stored = pointee<decltype(of_type)>;
    using Real = computed_t<Stored>;
    const Layout layout(rows, channels);
    const Affine<Real> norm(layout, static_cast<const Real*>(mean),
                            static_cast<const Real*>(inverse_std),
                            static_cast<const Real*>(weight), static_cast<const Real*>(bias));
    forward(static_cast<const Stored*>(x), norm, static_cast<Real>(keep), layout, steps, steps_in,
            static_cast<Stored*>(spikes), threads);
  });
}

EASNN_EXPORT int64_t easnn_norm_plif_backward(
    int type, const void* grad_spikes, const void* x, const void* mean, const void* inverse_std,
    const void* weight, const void* bias, int batch_statistics, double keep, int64_t rows,
    int64_t channels, int steps, int steps_in, int surrogate, double alpha, void* grad_x,
    void* grad_weight, void* grad_bias, double* grad_keep, int threads) {
  return with_type(type, [&](auto* of_type) {
    using Stored = pointee<decltype(of_type)>;
    using Real = computed_t<Stored>;
    const Layout layout(rows, channels);
    const auto* mu = static_cast<const Real*>(mean);
    const auto* inverse = static_cast<const Real*>(inverse_std);
    const Affine<Real> norm(layout, mu, inverse, static_cast<const Real*>(weight),
                            static_cast<const Real*>(bias));
    const Gradients<Real> gradients{static_cast<Real*>(grad_weight), static_cast<Real*>(grad_bias),
                                    grad_keep};
    const auto run = [&](auto call) {
      call(static_cast<const Stored*>(grad_spikes), static_cast<const Stored*>(x), mu, inverse,
           norm, batch_statistics != 0, static_cast<Real>(keep), layout, steps, steps_in,
           static_cast<Real>(alpha), static_cast<Stored*>(grad_x), gradients, threads);
    };
    switch (static_cast<Surrogate>(surrogate)) {
      case Surrogate::atan:
        return run(backward<Surrogate::atan, Stored>);
      case Surrogate::sigmoid:
        return run(backward<Surrogate::sigmoid, Stored>);
      case Surrogate::rect:
        return run(backward<Surrogate::rect, Stored>);
    }
  });
}
