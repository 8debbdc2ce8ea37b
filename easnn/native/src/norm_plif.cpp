// Batch norm and parametric leaky integrate-and-fire neurons in one pass over the memory.
//
// Values are stored channels last: [steps, rows, channels], where a row is a position of an image.
// Rows are divided into blocks that do not depend on the number of threads, and sums of blocks are
// added in their order, so results do not depend on it either.

#include <cstdint>
#include <vector>

#include "export.h"
#include "numbers.h"

namespace easnn {
namespace {

using std::int64_t;

constexpr int64_t kBlockValues = 16384;
constexpr int64_t kMinWidth = 64;

enum class Surrogate : int { atan = 0, sigmoid = 1, rect = 2 };

// Consecutive rows are processed together as one tile, so that few channels still fill the vectors.
struct Layout {
  int64_t rows, channels, tile_rows, block_rows, blocks;

  Layout(int64_t rows, int64_t channels)
      : rows(rows),
        channels(channels),
        tile_rows(std::max<int64_t>(1, kMinWidth / channels)),
        block_rows(std::max<int64_t>(1, kBlockValues / (channels * tile_rows)) * tile_rows),
        blocks((rows + block_rows - 1) / block_rows) {}

  int64_t width() const { return tile_rows * channels; }
  int64_t values() const { return rows * channels; }  // of one time step

  // Calls work(block) for each block, in parallel.
  template <class Work>
  void each_block(int threads, Work work) const {
    Failures failures;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t block = 0; block < blocks; ++block) failures.keep([&] { work(block); });
    failures.rethrow();
  }

  // Calls visit(first value, number of values) for each tile of a block.
  template <class Visit>
  void tiles(int64_t block, Visit visit) const {
    const int64_t end = std::min(rows, (block + 1) * block_rows);
    for (int64_t row = block * block_rows; row < end; row += tile_rows)
      visit(row * channels, std::min(tile_rows, end - row) * channels);
  }

  template <class Real>
  std::vector<Real> tiled(const Real* per_channel) const {
    std::vector<Real> result(width());
    for (int64_t i = 0; i < width(); ++i) result[i] = per_channel[i % channels];
    return result;
  }
};

// Per-channel sums of all blocks. A tile's lanes belong to the channels in turn.
class BlockSums {
 public:
  BlockSums(const Layout& layout) : layout_(layout), sums_(layout.blocks * layout.channels) {}

  template <class Real>
  void put(int64_t block, const std::vector<Real>& lanes) {
    double* sums = &sums_[block * layout_.channels];
    for (int64_t i = 0; i < layout_.width(); ++i) sums[i % layout_.channels] += lanes[i];
  }

  std::vector<double> total() const {
    std::vector<double> result(layout_.channels);
    for (int64_t i = 0; i < static_cast<int64_t>(sums_.size()); ++i)
      result[i % layout_.channels] += sums_[i];
    return result;
  }

 private:
  const Layout& layout_;
  std::vector<double> sums_;
};

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

// The norm of a channel as one multiplication and one addition; the identity if there is no norm.
template <class Real>
struct Affine {
  std::vector<Real> scale, shift;

  Affine(const Layout& layout, const Real* mean, const Real* inverse_std, const Real* weight,
         const Real* bias) {
    std::vector<Real> a(layout.channels, 1), b(layout.channels, 0);
    if (mean)
      for (int64_t c = 0; c < layout.channels; ++c) {
        a[c] = inverse_std[c] * weight[c];
        b[c] = std::fma(-mean[c], a[c], bias[c]);
      }
    scale = layout.tiled(a.data());
    shift = layout.tiled(b.data());
  }
};

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
  const std::vector<Real> center =
      mean ? layout.tiled(mean) : std::vector<Real>(width, Real(0));
  BlockSums sum_of_grads(layout), sum_of_products(layout), sum_of_keep(layout);
  layout.each_block(threads, [&](int64_t block) {
    std::vector<Real> charged(steps * width), carried(width), shared(width);
    std::vector<Real> grads(width), products(width), keeps(width);
    layout.tiles(block, [&](int64_t first, int64_t count) {
      const Real *scale = norm.scale.data(), *shift = norm.shift.data(), *mu = center.data();
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
        if (!writes) continue;
        // With the statistics of the batch, the gradient of the norm needs sums over all values.
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          grads[i] += into[i];
          products[i] = std::fma(into[i], widen(x[at + i]) - mu[i], products[i]);
          store(grad_x[at + i], batch_statistics ? into[i] : into[i] * scale[i]);
        }
      }
    });
    sum_of_grads.put(block, grads);
    sum_of_products.put(block, products);
    sum_of_keep.put(block, keeps);
  });

  *gradients.keep = 0;
  for (const double value : sum_of_keep.total()) *gradients.keep += value;
  if (!mean) return;
  const std::vector<double> sum = sum_of_grads.total(), product = sum_of_products.total();
  for (int64_t c = 0; c < layout.channels; ++c) {
    gradients.weight[c] = static_cast<Real>(product[c] * inverse_std[c]);
    gradients.bias[c] = static_cast<Real>(sum[c]);
  }
  if (!batch_statistics) return;

  const double count_of_channel = static_cast<double>(layout.rows) * steps_in;
  std::vector<Real> mean_grad(layout.channels), slope(layout.channels);
  for (int64_t c = 0; c < layout.channels; ++c) {
    const double variance_inverse = static_cast<double>(inverse_std[c]) * inverse_std[c];
    mean_grad[c] = static_cast<Real>(sum[c] / count_of_channel);
    slope[c] = static_cast<Real>(product[c] / count_of_channel * variance_inverse);
  }
  const std::vector<Real> mean_grads = layout.tiled(mean_grad.data());
  const std::vector<Real> slopes = layout.tiled(slope.data());
  layout.each_block(threads, [&](int64_t block) {
    layout.tiles(block, [&](int64_t first, int64_t count) {
      const Real *scale = norm.scale.data(), *mu = center.data();
      for (int t = 0; t < steps_in; ++t) {
        const Stored* in = x + t * step + first;
        Stored* out = grad_x + t * step + first;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const Real rest = widen(out[i]) - mean_grads[i] - (widen(in[i]) - mu[i]) * slopes[i];
          store(out[i], rest * scale[i]);
        }
      }
    });
  });
}

// Calls a function with a null pointer to the stored type, and returns as `guarded`.
template <class Call>
int64_t with_type(int type, Call call) {
  return guarded([&] {
    switch (static_cast<Type>(type)) {
      case Type::float32:
        return call(static_cast<float*>(nullptr));
      case Type::float64:
        return call(static_cast<double*>(nullptr));
      case Type::bfloat16:
        return call(static_cast<BFloat16*>(nullptr));
    }
  });
}

template <class Pointer>
using pointee = std::remove_pointer_t<Pointer>;

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
