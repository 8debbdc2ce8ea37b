// Passes over images that are stored channels last, with a batch norm: how they are divided into
// blocks, sums of channels, and the norm of a channel.
//
// Values are stored as [rows, channels], where a row is a position of an image. Rows are divided
// into blocks that do not depend on the number of threads, and sums of blocks are added in their
// order, so results do not depend on it either.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "export.h"
#include "numbers.h"

namespace easnn {

using std::int64_t;

constexpr int64_t kBlockValues = 16384;
constexpr int64_t kMinWidth = 64;

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

// The gradient of a norm. First each block adds what has to be summed over all values; then `finish`
// turns the gradients of the normalised values into those of its input.
template <class Real>
class NormGradient {
 public:
  NormGradient(const Layout& layout, const Real* mean, const Real* inverse_std,
               const Affine<Real>& norm, bool of_batch)
      : layout_(layout),
        inverse_std_(inverse_std),
        norm_(norm),
        of_batch_(of_batch),
        center_(mean ? layout.tiled(mean) : std::vector<Real>(layout.width(), Real(0))),
        grads_(layout),
        products_(layout) {}

  // Sums of the tiles of a block.
  struct Sums {
    std::vector<Real> grads, products;
    explicit Sums(const Layout& layout) : grads(layout.width()), products(layout.width()) {}
  };

  // Adds the gradients of a tile's normalised values, and stores what `finish` needs, or the
  // gradients of the input if the statistics do not depend on it.
  template <class Stored>
  void add(Sums& sums, const Real* into, const Stored* x, Stored* grad_x, int64_t count) const {
    Real *grads = sums.grads.data(), *products = sums.products.data();
    const Real *scale = norm_.scale.data(), *mu = center_.data();
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      grads[i] += into[i];
      products[i] = std::fma(into[i], widen(x[i]) - mu[i], products[i]);
      store(grad_x[i], of_batch_ ? into[i] : into[i] * scale[i]);
    }
  }

  void put(int64_t block, const Sums& sums) {
    grads_.put(block, sums.grads);
    products_.put(block, sums.products);
  }

  // Gradients of weight and bias [channels], and of the input [steps, rows, channels].
  template <class Stored>
  void finish(const Stored* x, int steps, Real* grad_weight, Real* grad_bias, Stored* grad_x,
              int threads) const {
    const std::vector<double> sum = grads_.total(), product = products_.total();
    for (int64_t c = 0; c < layout_.channels; ++c) {
      grad_weight[c] = static_cast<Real>(product[c] * inverse_std_[c]);
      grad_bias[c] = static_cast<Real>(sum[c]);
    }
    if (!of_batch_) return;

    // With the statistics of the batch, the gradient of the norm needs sums over all values.
    const double count_of_channel = static_cast<double>(layout_.rows) * steps;
    std::vector<Real> mean_grad(layout_.channels), slope(layout_.channels);
    for (int64_t c = 0; c < layout_.channels; ++c) {
      const double variance_inverse = static_cast<double>(inverse_std_[c]) * inverse_std_[c];
      mean_grad[c] = static_cast<Real>(sum[c] / count_of_channel);
      slope[c] = static_cast<Real>(product[c] / count_of_channel * variance_inverse);
    }
    const std::vector<Real> mean_grads = layout_.tiled(mean_grad.data());
    const std::vector<Real> slopes = layout_.tiled(slope.data());
    layout_.each_block(threads, [&](int64_t block) {
      layout_.tiles(block, [&](int64_t first, int64_t count) {
        const Real *scale = norm_.scale.data(), *mu = center_.data();
        for (int t = 0; t < steps; ++t) {
          const Stored* in = x + t * layout_.values() + first;
          Stored* out = grad_x + t * layout_.values() + first;
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) {
            const Real rest = widen(out[i]) - mean_grads[i] - (widen(in[i]) - mu[i]) * slopes[i];
            store(out[i], rest * scale[i]);
          }
        }
      });
    });
  }

 private:
  const Layout& layout_;
  const Real* inverse_std_;
  const Affine<Real>& norm_;
  const bool of_batch_;
  const std::vector<Real> center_;
  BlockSums grads_, products_;
};

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

}  // namespace easnn
