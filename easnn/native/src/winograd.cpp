// Dense 3×3 convolutions of stride 1 and padding 1 in float32, by Winograd's F(2×2, 3×3): A. Lavin,
// S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
//
// Outputs are computed in tiles of 2×2 from 4×4 inputs. With V = Bᵀ d B of the inputs and U = G g Gᵀ
// of the weights, a tile is Aᵀ (Σ U∘V) A, summed over the input channels: 16 multiplications for four
// outputs in place of 36. B and A contain 0, 1 and -1 only, and G also 1/2.
//
// Where a direct convolution is not finite, this one is not either; but a NaN or ∞ in an input reaches
// all four outputs of the tiles that see it, and one in a weight the whole channel, with its borders.
//
// Values are stored channels last: [images, height, width, channels].

#include <algorithm>
#include <cstdint>
#include <vector>

#include "export.h"
#include "vectors.h"

namespace easnn {
namespace {

using std::int64_t;

constexpr int64_t kLane = kLanes<float>;
constexpr int kPoints = 16;  // values of a transformed tile
constexpr int64_t kBlock = 2 * kLane;  // output channels that are computed together, or half of them
constexpr int64_t kTogether = kRegisters * 3 / 8;  // tiles that are: their sums stay in registers
constexpr int64_t kCache = 384 * 1024;  // bytes of transformed inputs
constexpr int64_t kMinBlocks = 16;  // of tiles, so that threads share them evenly
using Vector = Vec<float>;

struct Convolution {
  int64_t images, height, width, in_channels, out_channels;

  int64_t tile_columns() const { return (width + 1) / 2; }
  int64_t tiles_of_image() const { return (height + 1) / 2 * tile_columns(); }
  int64_t tiles() const { return images * tiles_of_image(); }
  int64_t out_block(int64_t first) const { return std::min(kBlock, out_channels - first); }
  // The odd number of vectors spreads rows over the sets of the cache.
  int64_t in_stride() const { return in_channels + 16; }
  // Tiles whose transformed inputs are in the cache at a time; it decides no sum.
  int64_t tile_block() const {
    const int64_t fitting = kCache / (kPoints * int64_t{sizeof(float)} * in_stride());
    const int64_t wanted = std::min(fitting, (tiles() + kMinBlocks - 1) / kMinBlocks);
    return std::max<int64_t>(1, (wanted + kTogether / 2) / kTogether) * kTogether;
  }
};

// Weights as they lie in memory; `turned` are those that take gradients of the output to gradients
// of the input: with input and output exchanged, and turned by 180°.
struct Weights {
  const float* values;  // [out, 3, 3, in], or [in, 3, 3, out] if turned
  bool turned;
};

// Bᵀ d of four values.
inline void transform_input(Vector& a, Vector& b, Vector& c, Vector& d) {
  const Vector first = a - c, second = b + c, third = c - b;
  d = b - d;
  a = first;
  b = second;
  c = third;
}

// The weights of a block of output channels from a first input on: [points][in][out of the block].
void transform_weights(const Convolution& c, const Weights& weights, int64_t first, int64_t from,
                       int64_t count, float* to) {
  const int64_t block = c.out_block(first);
  float taps[9][16 * kBlock];
  for (int tap = 0; tap < 9; ++tap) {
    if (weights.turned) {
      for (int64_t i = 0; i < count; ++i)
        std::copy_n(weights.values + ((from + i) * 9 + 8 - tap) * c.out_channels + first, block,
                    &taps[tap][i * block]);
    } else {
      for (int64_t o = 0; o < block; ++o)
        for (int64_t i = 0; i < count; ++i)
          taps[tap][i * block + o] =
              weights.values[((first + o) * 9 + tap) * c.in_channels + from + i];
    }
  }
  const Vector half = broadcast(0.5f);
  for (int64_t lane = 0; lane < count * block; lane += kLane) {
    Vector rows[4][3];  // G g
    for (int x = 0; x < 3; ++x) {
      const Vector a = load_vector(&taps[x][lane]), b = load_vector(&taps[3 + x][lane]),
                   d = load_vector(&taps[6 + x][lane]);
      rows[0][x] = a;
      rows[1][x] = (a + d + b) * half;
      rows[2][x] = (a + d - b) * half;
      rows[3][x] = d;
    }
    for (int y = 0; y < 4; ++y) {
      const Vector a = rows[y][0], b = rows[y][1], d = rows[y][2];
      const Vector point[4] = {a, (a + d + b) * half, (a + d - b) * half, d};
      for (int x = 0; x < 4; ++x)
        store_vector(to + ((y * 4 + x) * c.in_channels + from) * block + lane, point[x]);
    }
  }
}

// The inputs of a tile: to[point · stride + channel]. Pixels outside of the image are zeros.
void transform_inputs(const Convolution& c, const float* x, const float* zeros, int64_t tile,
                      float* to, int64_t stride) {
  const int64_t image = tile / c.tiles_of_image(), place = tile % c.tiles_of_image();
  const int64_t top = place / c.tile_columns() * 2 - 1, left = place % c.tile_columns() * 2 - 1;
  const float* pixels[kPoints];
  for (int64_t i = 0; i < kPoints; ++i) {
    const int64_t row = top + i / 4, column = left + i % 4;
    const bool inside = row >= 0 && row < c.height && column >= 0 && column < c.width;
    pixels[i] =
        inside ? x + ((image * c.height + row) * c.width + column) * c.in_channels : zeros;
  }
  for (int64_t channel = 0; channel < c.in_channels; channel += kLane) {
    Vector d[kPoints];
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) d[i] = load_vector(pixels[i] + channel);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) transform_input(d[i], d[4 + i], d[8 + i], d[12 + i]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      transform_input(d[4 * i], d[4 * i + 1], d[4 * i + 2], d[4 * i + 3]);
#pragma GCC unroll 16
    for (int i = 0; i < kPoints; ++i) store_vector(to + i * stride + channel, d[i]);
  }
}

// The products of one point of kTogether tiles, summed over the input channels.
template <int vectors>
inline void multiply(const float* inputs, int64_t in_stride, const float* weights, int64_t channels,
                     float* to) {
  constexpr int64_t block = vectors * kLane;
  Vector sums[kTogether][vectors];
#pragma GCC unroll 16
  for (int t = 0; t < kTogether; ++t)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[t][v] = Vector{};
  for (int64_t channel = 0; channel < channels; ++channel) {
    Vector w[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) w[v] = load_vector(weights + channel * block + v * kLane);
#pragma GCC unroll 16
    for (int t = 0; t < kTogether; ++t) {
      const Vector value = broadcast(inputs[t * in_stride + channel]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[t][v] = multiply_add(value, w[v], sums[t][v]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < kTogether; ++t)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store_vector(to + t * block + v * kLane, sums[t][v]);
}

// The outputs of a tile from its sums: from[point · stride + channel]. Those outside of the image,
// if its sides are odd, are left out.
template <int vectors>
void transform_outputs(const Convolution& c, const float* from, int64_t stride, const float* bias,
                       int64_t tile, float* out) {
  const int64_t image = tile / c.tiles_of_image(), place = tile % c.tiles_of_image();
  const int64_t top = place / c.tile_columns() * 2, left = place % c.tile_columns() * 2;
  const bool below = top + 1 < c.height, right = left + 1 < c.width;
  float* corner = out + ((image * c.height + top) * c.width + left) * c.out_channels;
#pragma GCC unroll 2
  for (int64_t channel = 0; channel < vectors * kLane; channel += kLane) {
    Vector rows[2][4];
#pragma GCC unroll 4
    for (int x = 0; x < 4; ++x) {
      const Vector a = load_vector(from + x * stride + channel),
                   b = load_vector(from + (4 + x) * stride + channel),
                   d = load_vector(from + (8 + x) * stride + channel),
                   e = load_vector(from + (12 + x) * stride + channel);
      rows[0][x] = a + b + d;
      rows[1][x] = b - d - e;
    }
    const Vector base = bias ? load_vector(bias + channel) : Vector{};
#pragma GCC unroll 2
    for (int y = 0; y < 2; ++y) {
      if (y == 1 && !below) break;
      float* to = corner + y * c.width * c.out_channels + channel;
      const Vector* row = rows[y];
      store_vector<float>(to, row[0] + row[1] + row[2] + base);
      if (right) store_vector<float>(to + c.out_channels, row[1] - row[2] - row[3] + base);
    }
  }
}

// Computes the outputs of a block of channels for some tiles whose inputs are transformed.
template <int vectors>
void tiles_of_block(const Convolution& c, const float* inputs, const float* weights,
                    const float* bias, int64_t first_tile, int64_t count, int64_t room,
                    float* sums, float* out) {
  constexpr int64_t block = vectors * kLane;
  for (int point = 0; point < kPoints; ++point)
    for (int64_t t = 0; t < count; t += kTogether)
      multiply<vectors>(inputs + (point * room + t) * c.in_stride(), c.in_stride(),
                        weights + point * c.in_channels * block, c.in_channels,
                        sums + (point * room + t) * block);
  for (int64_t t = 0; t < count; ++t)
    transform_outputs<vectors>(c, sums + t * block, room * block, bias, first_tile + t, out);
}

void convolve(const Convolution& c, const float* x, const Weights& weights, const float* bias,
              float* out, int threads) {
  const int64_t blocks = (c.out_channels + kBlock - 1) / kBlock;
  const int64_t parts = (c.in_channels + 15) / 16;
  std::vector<float> transformed(kPoints * c.in_channels * c.out_channels);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t part = 0; part < blocks * parts; ++part) {
    const int64_t first = part / parts * kBlock, from = part % parts * 16;
    transform_weights(c, weights, first, from, std::min<int64_t>(16, c.in_channels - from),
                      &transformed[first * kPoints * c.in_channels]);
  }
  const std::vector<float> zeros(c.in_channels);
  const int64_t room = c.tile_block(), tiles = c.tiles();
  Failures failures;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> inputs, sums;
    failures.keep([&] {
      inputs.resize(kPoints * room * c.in_stride());
      sums.resize(kPoints * room * kBlock);
    });
#pragma omp for schedule(dynamic, 1)
    for (int64_t first_tile = 0; first_tile < tiles; first_tile += room) {
      if (failures.any()) continue;
      const int64_t count = std::min(room, tiles - first_tile);
      for (int64_t t = 0; t < count; ++t)
        transform_inputs(c, x, zeros.data(), first_tile + t, &inputs[t * c.in_stride()],
                         room * c.in_stride());
      for (int64_t first = 0; first < c.out_channels; first += kBlock) {
        const auto compute = c.out_block(first) == kBlock ? tiles_of_block<2> : tiles_of_block<1>;
        compute(c, inputs.data(), &transformed[first * kPoints * c.in_channels],
                bias ? bias + first : nullptr, first_tile, count, room, sums.data(), out + first);
      }
    }
  }
  failures.rethrow();
}

}  // namespace
}  // namespace easnn

using namespace easnn;

// Channels of input and output are multiples of 16. If `turned`, x is the gradient of the output, and
// the result that of the input.
EASNN_EXPORT int64_t easnn_winograd(const float* x, const float* weight, const float* bias,
                                    int64_t images, int64_t height, int64_t width,
                                    int64_t in_channels, int64_t out_channels, int turned,
                                    float* out, int threads) {
  return guarded([&] {
    convolve({images, height, width, in_channels, out_channels}, x, {weight, turned != 0}, bias,
             out, threads);
  });
}
