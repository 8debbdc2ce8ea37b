// Batch norm and leaky integrate-and-fire neurons, parametric or integer, in one pass over the
// memory.
//
// Values are stored channels last: [steps, rows, channels], where a row is a position of an image.

#include <cstdint>
#include <vector>

#include "export.h"
#include "numbers.h"
#include "rows.h"

namespace easnn {
namespace {

// Binary neurons by their surrogate gradient, and integer neurons; as in easnn/kernels/norm_plif.py.
enum class Neurons : int { atan = 0, sigmoid = 1, rect = 2, integer = 3 };

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

// How many spikes a neuron fires at the membrane H, and the derivative of this number.
template <Neurons kind, class Real>
struct Firing {
  Real parameter;  // sharpness of the surrogate gradient, or levels of integer neurons

  // The reset of integer neurons passes no gradient from V = H - S to the spikes S.
  static constexpr bool detached = kind == Neurons::integer;

  Real spikes(Real h) const {
    if constexpr (kind == Neurons::integer)
      return std::rint(clamp(h, Real(0), parameter));  // ties to even; a NaN stays one
    else
      return h >= 1 ? Real(1) : Real(0);
  }

  Real derivative(Real h) const {
    const Real alpha = parameter, x = h - 1;
    if constexpr (kind == Neurons::integer) {
      return h >= 0 && h <= parameter ? Real(1) : Real(0);
    } else if constexpr (kind == Neurons::atan) {
      const Real scaled = Real(1.5707963267948966) * alpha * x;
      return alpha / 2 / std::fma(scaled, scaled, Real(1));
    } else if constexpr (kind == Neurons::sigmoid) {
      const Real s = sigmoid(alpha * x);
      return (1 - s) * s * alpha;
    } else {
      return std::abs(x) < 1 / (2 * alpha) ? alpha : Real(0);
    }
  }
};

template <Neurons kind, class Stored>
void forward(const Stored* x, const Affine<computed_t<Stored>>& norm,
             Firing<kind, computed_t<Stored>> firing, computed_t<Stored> keep,
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
          const Real s = firing.spikes(h);
          v[i] = h - s;
          store(out[i], s);
        }
      }
    });
  });
}

template <class Real>
struct Gradients {
  Real *weight, *bias;  // [channels], or null without a norm
  double* keep;
};

template <Neurons kind, class Stored>
void backward(const Stored* grad_spikes, const Stored* x, const computed_t<Stored>* mean,
              const computed_t<Stored>* inverse_std, const Affine<computed_t<Stored>>& norm,
              bool batch_statistics, Firing<kind, computed_t<Stored>> firing,
              computed_t<Stored> keep, const Layout& layout, int steps, int steps_in,
              Stored* grad_x, Gradients<computed_t<Stored>> gradients, int threads) {
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
          const Real v = before[i] - firing.spikes(before[i]);
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
          const Real of_spike = widen(grad[i]) - (firing.detached ? Real(0) : carry[i]);
          const Real g = carry[i] + of_spike * firing.derivative(h[i]);
          const Real v = before[i] - firing.spikes(before[i]);
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

// Calls a function with the firing of neurons.
template <class Real, class Call>
void with_firing(int neurons, double parameter, Call call) {
  const auto p = static_cast<Real>(parameter);
  switch (static_cast<Neurons>(neurons)) {
    case Neurons::atan:
      return call(Firing<Neurons::atan, Real>{p});
    case Neurons::sigmoid:
      return call(Firing<Neurons::sigmoid, Real>{p});
    case Neurons::rect:
      return call(Firing<Neurons::rect, Real>{p});
    case Neurons::integer:
      return call(Firing<Neurons::integer, Real>{p});
  }
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
EASNN_EXPORT int64_t easnn_norm_neurons(int type, const void* x, const void* mean,
                                        const void* inverse_std, const void* weight,
                                        const void* bias, int neurons, double parameter,
                                        double keep, int64_t rows, int64_t channels, int steps,
                                        int steps_in, void* spikes, int threads) {
  return with_type(type, [&](auto* of_type) {
    using Stored = pointee<decltype(of_type)>;
    using Real = computed_t<Stored>;
    const Layout layout(rows, channels);
    const Affine<Real> norm(layout, static_cast<const Real*>(mean),
                            static_cast<const Real*>(inverse_std),
                            static_cast<const Real*>(weight), static_cast<const Real*>(bias));
    with_firing<Real>(neurons, parameter, [&](auto firing) {
      forward(static_cast<const Stored*>(x), norm, firing, static_cast<Real>(keep), layout, steps,
              steps_in, static_cast<Stored*>(spikes), threads);
    });
  });
}

EASNN_EXPORT int64_t easnn_norm_neurons_backward(
    int type, const void* grad_spikes, const void* x, const void* mean, const void* inverse_std,
    const void* weight, const void* bias, int batch_statistics, int neurons, double parameter,
    double keep, int64_t rows, int64_t channels, int steps, int steps_in, void* grad_x,
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
    with_firing<Real>(neurons, parameter, [&](auto firing) {
      backward(static_cast<const Stored*>(grad_spikes), static_cast<const Stored*>(x), mu, inverse,
               norm, batch_statistics != 0, firing, static_cast<Real>(keep), layout, steps,
               steps_in, static_cast<Stored*>(grad_x), gradients, threads);
    });
  });
}
