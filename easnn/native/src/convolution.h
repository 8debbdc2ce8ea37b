// Convolutions of few channels over tiles of an image: odd kernel, stride 1, zero padding.
//
// Images of events and spikes are mostly zero, and where they are, a convolution has the same
// result everywhere. Units, pieces of a row, are marked where this is known, and not computed
// again. Adding zeros changes no sum, so the results are equal to those without marks, unless a
// number is not finite: then nothing may be marked.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "vectors.h"

namespace easnn {

using std::int64_t;

constexpr int kUnit = 64;  // columns

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

struct Tile {
  int64_t y, x, height, width;  // in the image
  int64_t image_height, image_width;
};

// The values of a tile and of `halo` pixels around it: [channels, rows, stride].
//
// Pixels outside of the image and columns beyond the halo are zero.
template <class Real>
class Patch {
 public:
  Patch(int channels, int64_t halo, int64_t max_height, int64_t max_width)
      : channels(channels),
        halo(halo),
        // A vector may begin at the last pixel. The odd number of vectors spreads rows over the
        // sets of the cache.
        stride((round_up(max_width + 2 * halo + 3 * kLanes<Real>, 2 * kLanes<Real>)) +
               kLanes<Real>),
        plane(stride * (max_height + 2 * halo)),
        background(channels, Real(0)),
        values_(channels * plane, Real(0)),
        units_((max_width + 2 * halo + kUnit - 1) / kUnit),
        marks_(units_ * (max_height + 2 * halo), 0) {}

  int channels;
  int64_t halo, stride, plane;
  std::vector<Real> background;  // [channels]: the values of marked units

  void place(const Tile& tile) {
    rows = tile.height + 2 * halo;
    columns = tile.width + 2 * halo;
    first_y_ = tile.y - halo;
    image_height_ = tile.image_height;
    begin = std::min(columns, std::max<int64_t>(0, halo - tile.x));
    end = std::max(begin, std::min(columns, tile.image_width - tile.x + halo));
  }

  int64_t rows = 0, columns = 0;
  int64_t begin = 0, end = 0;  // columns inside of the image

  bool inside(int64_t row) const {
    return first_y_ + row >= 0 && first_y_ + row < image_height_;
  }

  Real* at(int channel, int64_t row, int64_t column = 0) {
    return &values_[channel * plane + row * stride + column];
  }
  const Real* at(int channel, int64_t row, int64_t column = 0) const {
    return &values_[channel * plane + row * stride + column];
  }

  std::uint8_t& mark(int64_t row, int64_t unit) { return marks_[row * units_ + unit]; }

  // Whether all units that hold the columns are marked.
  bool is_marked(int64_t row, int64_t from, int64_t to) const {
    bool all = true;
    const int64_t last = (std::min(to, columns) - 1) / kUnit;
    for (int64_t unit = from / kUnit; unit <= last; ++unit)
      all = all && marks_[row * units_ + unit];
    return all;
  }

  bool marks_zeros() const {
    return std::all_of(background.begin(), background.end(), [](Real b) { return b == 0; });
  }

  void clear_outside(int channel, int64_t row) {
    Real* values = at(channel, row);
    const bool empty = !inside(row);
    std::fill(values, values + (empty ? stride : begin), Real(0));
    if (!empty) std::fill(values + end, values + stride, Real(0));
  }

  // Fills the patch by fill(channel, y - tile.y, first column of the image, number, where to).
  // marks: mark the units that are zero.
  template <class Fill>
  void fill(const Tile& tile, bool marks, Fill fill) {
    place(tile);
    std::fill(background.begin(), background.end(), Real(0));
    for (int64_t row = 0; row < rows; ++row) {
      for (int c = 0; c < channels; ++c) {
        if (inside(row))
          fill(c, tile.y - halo + row, tile.x - halo + begin, end - begin, at(c, row, begin));
        clear_outside(c, row);
      }
      for (int64_t unit = 0; unit * kUnit < columns; ++unit)
        mark(row, unit) = marks && is_zero(row, unit);
    }
  }

 private:
  bool is_zero(int64_t row, int64_t unit) const {
    const int64_t first = unit * kUnit, count = std::min<int64_t>(kUnit, columns - first);
    for (int c = 0; c < channels; ++c) {
      const Real* values = at(c, row, first);
      int nonzero = 0;
#pragma omp simd reduction(+ : nonzero)
      for (int64_t i = 0; i < count; ++i) nonzero += values[i] != 0 ? 1 : 0;
      if (nonzero) return false;
    }
    return true;
  }

  std::vector<Real> values_;
  int64_t first_y_ = 0, image_height_ = 0;
  int64_t units_;
  std::vector<std::uint8_t> marks_;
};

// Channels are computed in blocks of four, then of two, then alone.
inline int block_of(int channels) { return channels >= 4 ? 4 : channels >= 2 ? 2 : 1; }

// Weights in the order of their use: [block][in][ky][kx][channel of the block].
template <class Real>
struct Kernel {
  int in, out, size;
  std::vector<Real> weights, bias;

  // weight: [out, in, size, size]; a null bias is zero.
  Kernel(const Real* weight, const Real* bias_of, int in, int out, int size)
      : in(in), out(out), size(size), weights(int64_t{in} * out * size * size), bias(out) {
    if (bias_of) std::copy(bias_of, bias_of + out, bias.begin());
    const int taps = size * size;
    Real* to = weights.data();
    for (int first = 0; first < out; first += block_of(out - first))
      for (int i = 0; i < in; ++i)
        for (int tap = 0; tap < taps; ++tap)
          for (int o = first; o < first + block_of(out - first); ++o)
            *to++ = weight[(int64_t{o} * in + i) * taps + tap];
  }

  // The kernel that takes gradients of the output to those of the input.
  static Kernel transposed(const Real* weight, int in, int out, int size) {
    const int taps = size * size;
    std::vector<Real> turned(int64_t{in} * out * taps);
    for (int o = 0; o < out; ++o)
      for (int i = 0; i < in; ++i)
        for (int tap = 0; tap < taps; ++tap)
          turned[(int64_t{i} * out + o) * taps + taps - 1 - tap] =
              weight[(int64_t{o} * in + i) * taps + tap];
    return Kernel(turned.data(), nullptr, out, in, size);
  }

  // The output where all inputs around are the background, by the same sums.
  std::vector<Real> of_background(const std::vector<Real>& background, bool relu) const {
    std::vector<Real> result;
    const Real* w = weights.data();
    const int taps = size * size;
    for (int first = 0; first < out; first += block_of(out - first)) {
      const int block = block_of(out - first);
      for (int o = 0; o < block; ++o) {
        Real sum = bias[first + o];
        for (int i = 0; i < in * taps; ++i)
          sum = std::fma(w[i * block + o], background[i / taps], sum);
        result.push_back(relu && sum < 0 ? Real(0) : sum);
      }
      w += int64_t{in} * taps * block;
    }
    return result;
  }
};

// Computes kBlock channels of kVectors vectors. Rows of the kernel that meet zeros are left out.
template <int kBlock, int kVectors, class Real>
inline void convolve_vectors(const Patch<Real>& x, int64_t row, int64_t column,
                             const Kernel<Real>& kernel, const Real* w, const Real* bias,
                             const std::uint8_t* skipped, bool relu, Real* to, int64_t to_plane) {
  constexpr int lanes = kLanes<Real>;
  Vec<Real> sums[kBlock][kVectors];
#pragma GCC unroll 16
  for (int o = 0; o < kBlock; ++o)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[o][v] = broadcast(bias[o]);
  const int size = kernel.size;
  for (int i = 0; i < kernel.in; ++i)
    for (int ky = 0; ky < size; ++ky, w += size * kBlock) {
      if (skipped[ky]) continue;
      const Real *from = x.at(i, row + ky, column), *taps = w;
      for (int kx = 0; kx < size; ++kx, taps += kBlock) {
        Vec<Real> values[kVectors];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) values[v] = load_vector(from + kx + v * lanes);
#pragma GCC unroll 16
        for (int o = 0; o < kBlock; ++o) {
          const Vec<Real> weight = broadcast(taps[o]);
#pragma GCC unroll 16
          for (int v = 0; v < kVectors; ++v)
            sums[o][v] = multiply_add(weight, values[v], sums[o][v]);
        }
      }
    }
#pragma GCC unroll 16
  for (int o = 0; o < kBlock; ++o)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const Vec<Real> zero = broadcast(Real(0));
      const Vec<Real> sum = sums[o][v];
      store_vector<Real>(to + o * to_plane + v * lanes, relu ? (sum < zero ? zero : sum) : sum);
    }
}

template <int kBlock, class Real>
inline void convolve_unit(const Patch<Real>& x, int64_t row, int64_t column,
                          const Kernel<Real>& kernel, const Real* w, const Real* bias,
                          const std::uint8_t* skipped, bool relu, Real* to, int64_t to_plane,
                          int64_t vectors) {
  constexpr int lanes = kLanes<Real>, together = kRegisters / 8;
  int64_t v = 0;
  for (; v + together <= vectors; v += together)
    convolve_vectors<kBlock, together>(x, row, column + v * lanes, kernel, w, bias, skipped, relu,
                                       to + v * lanes, to_plane);
  for (; v < vectors; ++v)
    convolve_vectors<kBlock, 1>(x, row, column + v * lanes, kernel, w, bias, skipped, relu,
                                to + v * lanes, to_plane);
}

// Computes `out`, whose halo is smaller than that of `x` by at least half the kernel.
//
// mask: where its values are zero or less, the output is zero; or null. A NaN passes, as in torch.
template <class Real>
void convolve(const Tile& tile, const Patch<Real>& x, const Kernel<Real>& kernel, bool relu,
              const Patch<Real>* mask, Patch<Real>& out) {
  out.place(tile);
  const bool zeros = x.marks_zeros();
  out.background = kernel.of_background(x.background, relu);
  const int64_t offset = x.halo - out.halo - kernel.size / 2;
  const int size = kernel.size;
  std::vector<std::uint8_t> skipped(size);
  for (int64_t first = 0; first < out.columns; first += kUnit) {
    const int64_t count = std::min<int64_t>(kUnit, out.columns - first);
    const bool whole = first >= out.begin && first + count <= out.end;
    for (int64_t row = 0; row < out.rows; ++row) {
      std::uint8_t& mark = out.mark(row, first / kUnit);
      mark = 0;
      if (!out.inside(row)) continue;
      bool constant = true;
      for (int ky = 0; ky < size; ++ky) {
        const int64_t from = first + offset;
        const bool marked = x.is_marked(row + offset + ky, from, from + count + size - 1);
        skipped[ky] = zeros && marked;
        constant = constant && marked;
      }
      mark = constant && whole;
      if (constant) {
        for (int o = 0; o < out.channels; ++o)
          std::fill(out.at(o, row, first), out.at(o, row, first) + count, out.background[o]);
        continue;
      }
      const int64_t vectors = (count + kLanes<Real> - 1) / kLanes<Real>;
      const Real* w = kernel.weights.data();
      for (int o = 0; o < kernel.out;) {
        const int block = block_of(kernel.out - o);
        const auto unit = [&](auto call) {
          call(x, row + offset, first + offset, kernel, w, &kernel.bias[o], skipped.data(), relu,
               out.at(o, row, first), out.plane, vectors);
        };
        if (block == 4) unit(convolve_unit<4, Real>);
        else if (block == 2) unit(convolve_unit<2, Real>);
        else unit(convolve_unit<1, Real>);
        w += int64_t{kernel.in} * size * size * block;
        o += block;
      }
      if (mask) {
        const int64_t inner = mask->halo - out.halo;
        for (int o = 0; o < out.channels; ++o) {
          Real* to = out.at(o, row, first);
          const Real* active = mask->at(o, row + inner, first + inner);
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) to[i] = active[i] <= 0 ? Real(0) : to[i];
        }
      }
    }
  }
  for (int64_t row = 0; row < out.rows; ++row)
    for (int o = 0; o < out.channels; ++o) out.clear_outside(o, row);
}

// Adds the gradients of kTaps weights in a row of the kernel, for kBlock outputs.
template <int kBlock, int kTaps, class Real>
void add_products(const Tile& tile, const Patch<Real>& grad, int o, const Patch<Real>& x, int i,
                  int64_t offset, int ky, int kx, const std::vector<std::uint8_t>& live, int size,
                  double* sums) {
  constexpr int lanes = kLanes<Real>;
  Vec<Real> products[kBlock][kTaps];
#pragma GCC unroll 16
  for (int a = 0; a < kBlock; ++a)
#pragma GCC unroll 16
    for (int b = 0; b < kTaps; ++b) products[a][b] = broadcast(Real(0));
  const std::uint8_t* is_live = live.data();
  for (int64_t row = 0; row < tile.height; ++row)
    for (int64_t first = 0; first < tile.width; first += kUnit) {
      if (!*is_live++) continue;
      const Real* g = grad.at(o, row + grad.halo, first + grad.halo);
      const Real* from = x.at(i, row + offset + ky, first + offset + kx);
      const int64_t count = std::min<int64_t>(kUnit, tile.width - first);
      for (int64_t column = 0; column < count; column += lanes) {
        Vec<Real> gradients[kBlock];
#pragma GCC unroll 16
        for (int a = 0; a < kBlock; ++a) gradients[a] = load_vector(g + a * grad.plane + column);
#pragma GCC unroll 16
        for (int b = 0; b < kTaps; ++b) {
          const Vec<Real> value = load_vector(from + column + b);
#pragma GCC unroll 16
          for (int a = 0; a < kBlock; ++a)
            products[a][b] = multiply_add(gradients[a], value, products[a][b]);
        }
      }
    }
  const int64_t per_output = int64_t{x.channels} * size * size;
#pragma GCC unroll 16
  for (int a = 0; a < kBlock; ++a)
#pragma GCC unroll 16
    for (int b = 0; b < kTaps; ++b)
      sums[(o + a) * per_output + (int64_t{i} * size + ky) * size + kx + b] +=
          sum_lanes<Real>(products[a][b]);
}

template <int kBlock, class Real>
void add_row_of_kernel(const Tile& tile, const Patch<Real>& grad, int o, const Patch<Real>& x,
                       int i, int64_t offset, int ky, const std::vector<std::uint8_t>& live,
                       int size, double* sums) {
  for (int kx = 0; kx < size;) {
    const auto add = [&](auto call, int taps) {
      call(tile, grad, o, x, i, offset, ky, kx, live, size, sums);
      kx += taps;
    };
    const int rest = size - kx;
    if (rest == 5) add(add_products<kBlock, 5, Real>, 5);
    else if (rest >= 4) add(add_products<kBlock, 4, Real>, 4);
    else if (rest == 3) add(add_products<kBlock, 3, Real>, 3);
    else if (rest == 2) add(add_products<kBlock, 2, Real>, 2);
    else add(add_products<kBlock, 1, Real>, 1);
  }
}

// Adds the gradients of the weights [out, in, size, size], then of the bias [out], to `sums`.
template <class Real>
void add_weight_gradients(const Tile& tile, const Patch<Real>& grad, const Patch<Real>& x,
                          int size, double* sums) {
  const bool zeros = x.marks_zeros();
  const int64_t offset = x.halo - size / 2;
  std::vector<std::uint8_t> grads, live;
  for (int64_t row = 0; row < tile.height; ++row)
    for (int64_t first = 0; first < tile.width; first += kUnit) {
      const int64_t column = first + grad.halo;
      const int64_t count = std::min<int64_t>(kUnit, tile.width - first);
      grads.push_back(!grad.is_marked(row + grad.halo, column, column + count));
    }
  // The sums of up to five taps for this many outputs fit into the registers.
  constexpr int most = kRegisters >= 32 ? 4 : 2;
  const auto block_at = [&](int o) { return std::min(most, block_of(grad.channels - o)); };
  for (int ky = 0; ky < size; ++ky) {
    live.clear();
    auto has_grad = grads.begin();
    for (int64_t row = 0; row < tile.height; ++row)
      for (int64_t first = 0; first < tile.width; first += kUnit) {
        const int64_t column = first + offset;
        const int64_t count = std::min<int64_t>(kUnit, tile.width - first) + size - 1;
        live.push_back(*has_grad++ &&
                       !(zeros && x.is_marked(row + offset + ky, column, column + count)));
      }
    if (std::find(live.begin(), live.end(), 1) == live.end()) continue;
    for (int i = 0; i < x.channels; ++i)
      for (int o = 0; o < grad.channels;) {
        const int block = block_at(o);
        const auto add = [&](auto call) {
          call(tile, grad, o, x, i, offset, ky, live, size, sums);
        };
        if (block == 4) add(add_row_of_kernel<most, Real>);
        else if (block == 2) add(add_row_of_kernel<2, Real>);
        else add(add_row_of_kernel<1, Real>);
        o += block;
      }
  }
  double* of_bias = sums + int64_t{grad.channels} * x.channels * size * size;
  for (int o = 0; o < grad.channels; ++o) {
    Vec<Real> sum = broadcast(Real(0));
    for (int64_t row = 0; row < tile.height; ++row)
      for (int64_t column = 0; column < tile.width; column += kLanes<Real>)
        sum += load_vector(grad.at(o, row + grad.halo, column + grad.halo));
    of_bias[o] += sum_lanes<Real>(sum);
  }
}

}  // namespace easnn
