// Convolutions of spikes by the matrix unit of a processor (AMX), with the results of float32.
//
// The unit multiplies bfloat16 and adds in float32. Spikes, and sums of few of them, are exact in
// bfloat16, and a float32 weight is the sum of three bfloat16 parts of 8 significant bits each. So
// the products are exact, and only their sums are rounded, as in float32.
//
// Values are stored channels last: [images, height, width, channels]. Input pixels are packed so
// that 16 successive output pixels are 16 rows of a tile: with stride s into s × s phases, of which
// each contains every s-th pixel, and in blocks of 32 channels. A row of packed pixels is longer
// than one of outputs by the reach of the kernel; what is computed at its end is thrown away.

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "export.h"
#include "numbers.h"
#include "vectors.h"

namespace easnn {
namespace {

using std::int64_t;

#ifdef __AMX_BF16__

constexpr int64_t kParts = 3;      // of a weight
constexpr int64_t kRows = 16;      // of a tile: pixels
constexpr int64_t kInputs = 32;    // channels of a row of a tile
constexpr int64_t kOutputs = 16;   // columns of a tile of sums
constexpr int64_t kTogether = 4;   // tiles of sums
constexpr int64_t kTile = kRows * kInputs;  // numbers
constexpr int64_t kItemPixels = 384;        // output pixels of an item of work, about

// The system saves the tiles of a thread only for processes that have asked for it.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 7, b, c = 0, d;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  const bool bf16 = d >> 22 & 1, tiles = d >> 24 & 1;
  return bf16 && tiles && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct Convolution {
  int64_t steps, batch, height, width, in_channels, out_channels, kernel, stride, padding;
  int64_t out_height, out_width;

  int64_t taps() const { return kernel * kernel; }
  int64_t reach() const { return (kernel - 1) / stride; }
  int64_t in_blocks() const { return (in_channels + kInputs - 1) / kInputs; }
  int64_t out_blocks() const { return out_channels / kOutputs; }
  // Numbers of the weights of a block of outputs.
  int64_t panel() const { return in_blocks() * taps() * kParts * kTile; }
  // Rows of outputs of an item of work, which decide no sum.
  int64_t item_rows() const {
    const int64_t rows = std::max<int64_t>(1, kItemPixels / out_width);
    const int64_t items = (out_height + rows - 1) / rows;
    return (out_height + items - 1) / items;
  }
  int64_t items_of_image() const { return (out_height + item_rows() - 1) / item_rows(); }
};

// Lets row i, lane j become row j, lane i.
inline void transpose(__m512 (&rows)[16]) {
  const __m512i lanes =
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#pragma GCC unroll 4
  for (int side = 8; side > 0; side /= 2) {
    // Exchanges the squares off the diagonal: lanes from 16 on are those of the second vector.
    const __mmask16 upper = _mm512_test_epi32_mask(lanes, _mm512_set1_epi32(side));
    const __m512i first =
        _mm512_mask_add_epi32(lanes, upper, lanes, _mm512_set1_epi32(16 - side));
    const __m512i second = _mm512_mask_add_epi32(
        _mm512_add_epi32(lanes, _mm512_set1_epi32(side)), upper, lanes, _mm512_set1_epi32(16));
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if (i & side) continue;
      const __m512 a = rows[i], b = rows[i + side];
      rows[i] = _mm512_permutex2var_ps(a, first, b);
      rows[i + side] = _mm512_permutex2var_ps(a, second, b);
    }
  }
}

// [blocks of outputs][blocks of inputs][taps][parts][pairs of inputs][outputs][2], from weights
// [out, taps, in]. A part is what the next 8 significant bits say: the sum of all is the weight.
void pack_weights(const Convolution& c, const float* weights, std::uint16_t* packed, int threads) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t block = 0; block < c.out_blocks() * c.in_blocks(); ++block) {
    const int64_t out = block / c.in_blocks() * kOutputs, in = block % c.in_blocks() * kInputs;
    for (int64_t tap = 0; tap < c.taps(); ++tap)
      for (int64_t half = 0; half < 2; ++half) {
        std::uint16_t* to = packed + ((block * c.taps() + tap) * kParts * kTile + half * kTile / 2);
        const int64_t channel = in + half * 16;
        __m512 inputs[16];
        for (int64_t o = 0; o < kOutputs; ++o)
          inputs[o] = channel < c.in_channels
                          ? _mm512_loadu_ps(weights + ((out + o) * c.taps() + tap) * c.in_channels +
                                            channel)
                          : _mm512_setzero_ps();
        transpose(inputs);
#pragma GCC unroll 8
        for (int64_t pair = 0; pair < 8; ++pair) {
          __m512 even = inputs[2 * pair], odd = inputs[2 * pair + 1];
#pragma GCC unroll 3
          for (int64_t part = 0; part < kParts; ++part) {
            const __m512i high_even = _mm512_and_si512(_mm512_castps_si512(even), upper);
            const __m512i high_odd = _mm512_and_si512(_mm512_castps_si512(odd), upper);
            _mm512_storeu_si512(to + part * kTile + pair * 2 * kOutputs,
                                _mm512_or_si512(_mm512_srli_epi32(high_even, 16), high_odd));
            even = _mm512_sub_ps(even, _mm512_castsi512_ps(high_even));
            odd = _mm512_sub_ps(odd, _mm512_castsi512_ps(high_odd));
          }
        }
      }
  }
}

// 16 values as bfloat16, which they are.
inline __m256i to_bfloat16(const float* from) {
  return _mm512_cvtepi32_epi16(
      _mm512_srli_epi32(_mm512_castps_si512(_mm512_loadu_ps(from)), 16));
}
inline __m256i to_bfloat16(const BFloat16* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// The packed pixels that the rows of outputs of an item need: [phases][blocks of inputs][rows]
// [columns][32] for each time step.
class PackedPixels {
 public:
  explicit PackedPixels(const Convolution& c)
      : c_(c),
        columns(c.out_width + c.reach()),
        rows_(c.item_rows() + c.reach()),
        // The last tile of an item reads beyond its pixels.
        block_((rows_ * columns + kRows) * kInputs),
        step_(c.stride * c.stride * c.in_blocks() * block_),
        values_(new std::uint16_t[c.steps * step_]) {}

 private:
  const Convolution& c_;

 public:
  const int64_t columns;

  template <class In>
  void fill(const In* x, int64_t image, int64_t first_row, int64_t out_rows) {
    for (int64_t t = 0; t < c_.steps; ++t)
      for (int64_t phase_y = 0; phase_y < c_.stride; ++phase_y)
        for (int64_t row = 0; row < out_rows + c_.reach(); ++row) {
          const int64_t y = (first_row + row) * c_.stride + phase_y - c_.padding;
          const In* of_row = y < 0 || y >= c_.height
                                 ? nullptr
                                 : x + ((t * c_.batch + image) * c_.height + y) * c_.width *
                                           c_.in_channels;
          for (int64_t phase_x = 0; phase_x < c_.stride; ++phase_x)
            fill_row(of_row, phase_x, at(t, phase_y, phase_x, 0) + row * columns * kInputs);
        }
  }

  const std::uint16_t* at(int64_t t, int64_t phase_y, int64_t phase_x, int64_t block) const {
    return values_.get() + t * step_ +
           ((phase_y * c_.stride + phase_x) * c_.in_blocks() + block) * block_;
  }

 private:
  std::uint16_t* at(int64_t t, int64_t phase_y, int64_t phase_x, int64_t block) {
    return const_cast<std::uint16_t*>(
        static_cast<const PackedPixels*>(this)->at(t, phase_y, phase_x, block));
  }

  // One row of all blocks of inputs; a null row is outside of the image.
  template <class In>
  void fill_row(const In* row, int64_t phase_x, std::uint16_t* to) {
    // Columns from `begin` to `end` are inside of the image.
    const int64_t origin = phase_x - c_.padding;
    const int64_t begin = std::min(columns, (std::max<int64_t>(0, -origin) + c_.stride - 1) / c_.stride);
    const int64_t end =
        row ? std::clamp((c_.width - origin + c_.stride - 1) / c_.stride, begin, columns) : begin;
    for (int64_t block = 0; block < c_.in_blocks(); ++block) {
      std::uint16_t* values = to + block * block_;
      const bool whole = c_.in_channels - block * kInputs >= kInputs;
      std::fill(values, values + begin * kInputs, std::uint16_t{0});
      std::fill(values + end * kInputs, values + columns * kInputs, std::uint16_t{0});
      const In* pixel = row + (begin * c_.stride + origin) * c_.in_channels + block * kInputs;
      for (int64_t column = begin; column < end; ++column, pixel += c_.stride * c_.in_channels) {
        auto* at = reinterpret_cast<__m256i*>(values + column * kInputs);
        _mm256_storeu_si256(at, to_bfloat16(pixel));
        _mm256_storeu_si256(at + 1, whole ? to_bfloat16(pixel + 16) : _mm256_setzero_si256());
      }
    }
  }

  int64_t rows_, block_, step_;
  std::unique_ptr<std::uint16_t[]> values_;
};

// Sums of 1 to 4 tiles of pixels and one of outputs, over all taps and inputs, in float32:
// sums[pixel][output].
template <int tiles>
inline void multiply(const Convolution& c, const PackedPixels& pixels, int64_t t, int64_t first,
                     const std::uint16_t* weights, float* sums) {
  constexpr int64_t kBytes = 2 * kInputs;
  _tile_zero(0);
  if constexpr (tiles > 1) _tile_zero(1);
  if constexpr (tiles > 2) _tile_zero(2);
  if constexpr (tiles > 3) _tile_zero(3);
  for (int64_t block = 0; block < c.in_blocks(); ++block)
    for (int64_t ky = 0; ky < c.kernel; ++ky)
      for (int64_t kx = 0; kx < c.kernel; ++kx, weights += kParts * kTile) {
        const std::uint16_t* from =
            pixels.at(t, ky % c.stride, kx % c.stride, block) +
            (first + ky / c.stride * pixels.columns + kx / c.stride) * kInputs;
        _tile_loadd(5, weights, kBytes);
        _tile_loadd(6, weights + kTile, kBytes);
        _tile_loadd(7, weights + 2 * kTile, kBytes);
        _tile_loadd(4, from, kBytes);
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(0, 4, 7);
        if constexpr (tiles > 1) {
          _tile_loadd(4, from + kTile, kBytes);
          _tile_dpbf16ps(1, 4, 5);
          _tile_dpbf16ps(1, 4, 6);
          _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (tiles > 2) {
          _tile_loadd(4, from + 2 * kTile, kBytes);
          _tile_dpbf16ps(2, 4, 5);
          _tile_dpbf16ps(2, 4, 6);
          _tile_dpbf16ps(2, 4, 7);
        }
        if constexpr (tiles > 3) {
          _tile_loadd(4, from + 3 * kTile, kBytes);
          _tile_dpbf16ps(3, 4, 5);
          _tile_dpbf16ps(3, 4, 6);
          _tile_dpbf16ps(3, 4, 7);
        }
      }
  _tile_stored(0, sums, kBytes);
  if constexpr (tiles > 1) _tile_stored(1, sums + kRows * kOutputs, kBytes);
  if constexpr (tiles > 2) _tile_stored(2, sums + 2 * kRows * kOutputs, kBytes);
  if constexpr (tiles > 3) _tile_stored(3, sums + 3 * kRows * kOutputs, kBytes);
}

// What becomes of the sums of a pixel: scale·sum + shift, and, if it fires, spikes of a membrane.
struct Outcome {
  const float *scale, *shift;  // [out_channels]; null: 1 and 0
  bool fires;
  float keep;  // the fraction that is left of the membrane after a step
};

inline void put(float* to, __m512 values) { _mm512_storeu_ps(to, values); }
inline void put(BFloat16* to, __m512 spikes) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(spikes), 16)));
}

// The item's outputs of a block of channels.
template <class Out>
void compute_block(const Convolution& c, const PackedPixels& pixels, const std::uint16_t* weights,
                   const Outcome& outcome, int64_t image, int64_t first_row, int64_t out_rows,
                   int64_t channel, Out* out) {
  alignas(64) float sums[kTogether * kRows * kOutputs];
  alignas(64) float membranes[kTogether * kRows * kOutputs];
  const __m512 one = _mm512_set1_ps(1), keep = _mm512_set1_ps(outcome.keep);
  const __m512 scale = outcome.scale ? _mm512_loadu_ps(outcome.scale + channel) : one;
  const __m512 shift =
      outcome.shift ? _mm512_loadu_ps(outcome.shift + channel) : _mm512_setzero_ps();
  const int64_t count = (out_rows - 1) * pixels.columns + c.out_width;
  for (int64_t first = 0; first < count; first += kTogether * kRows) {
    const int64_t number = std::min(kTogether * kRows, count - first);
    for (int64_t t = 0; t < c.steps; ++t) {
      switch ((number + kRows - 1) / kRows) {
        case 1: multiply<1>(c, pixels, t, first, weights, sums); break;
        case 2: multiply<2>(c, pixels, t, first, weights, sums); break;
        case 3: multiply<3>(c, pixels, t, first, weights, sums); break;
        default: multiply<4>(c, pixels, t, first, weights, sums);
      }
      int64_t column = first % pixels.columns;
      Out* row = out + (((t * c.batch + image) * c.out_height + first_row +
                         first / pixels.columns) *
                        c.out_width) *
                           c.out_channels +
                 channel;
      for (int64_t i = 0; i < number; ++i) {
        if (column < c.out_width) {
          const __m512 current =
              _mm512_fmadd_ps(_mm512_load_ps(sums + i * kOutputs), scale, shift);
          __m512 result = current;
          if (outcome.fires) {
            float* membrane = membranes + i * kOutputs;
            const __m512 h =
                t == 0 ? current : _mm512_fmadd_ps(_mm512_load_ps(membrane), keep, current);
            result = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(h, one, _CMP_GE_OQ), one);
            _mm512_store_ps(membrane, _mm512_sub_ps(h, result));
          }
          put(row + column * c.out_channels, result);
        }
        if (++column == pixels.columns) {
          column = 0;
          row += c.out_width * c.out_channels;
        }
      }
    }
  }
}

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

template <class In, class Out>
void convolve(const Convolution& c, const In* x, const float* weights, const Outcome& outcome,
              Out* out, int threads) {
  const std::unique_ptr<std::uint16_t[]> packed(new std::uint16_t[c.out_blocks() * c.panel()]);
  pack_weights(c, weights, packed.get(), threads);
  const int64_t items = c.batch * c.items_of_image();
  Failures failures;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const TileConfig config;
    _tile_loadconfig(&config);
    std::unique_ptr<PackedPixels> pixels;
    failures.keep([&] { pixels = std::make_unique<PackedPixels>(c); });
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < items; ++item) {
      if (!pixels) continue;
      const int64_t image = item / c.items_of_image();
      const int64_t first_row = item % c.items_of_image() * c.item_rows();
      const int64_t out_rows = std::min(c.item_rows(), c.out_height - first_row);
      pixels->fill(x, image, first_row, out_rows);
      for (int64_t block = 0; block < c.out_blocks(); ++block)
        compute_block(c, *pixels, &packed[block * c.panel()], outcome, image, first_row, out_rows,
                      block * kOutputs, out);
    }
    _tile_release();
  }
  failures.rethrow();
}

#endif

}  // namespace
}  // namespace easnn

using namespace easnn;

// Whether the processor, the system and the compiler of this library have matrix units in use.
EASNN_EXPORT int64_t easnn_amx_supported() {
#ifdef __AMX_BF16__
  return may_use_tiles();
#else
  return 0;
#endif
}

#ifdef __AMX_BF16__
// A convolution of spikes, then scale·sum + shift for each channel; with `fires`, then neurons as
// in norm_plif.cpp over `steps` time steps. Only where easnn_amx_supported. Channels of input and
// output are multiples of 16. Types of x and out: float32 or bfloat16.
EASNN_EXPORT int64_t easnn_amx_spike_conv(
    int type_in, int type_out, const void* x, const float* weight, const float* scale,
    const float* shift, int fires, double keep, int64_t steps, int64_t images, int64_t height,
    int64_t width, int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride,
    int64_t padding, int64_t out_height, int64_t out_width, void* out, int threads) {
  const Convolution c{steps,  images / steps, height,  width,      in_channels, out_channels,
                      kernel, stride,         padding, out_height, out_width};
  const Outcome outcome{scale, shift, fires != 0, static_cast<float>(keep)};
  const auto from = [&](const auto* in) {
    if (static_cast<Type>(type_out) == Type::bfloat16)
      convolve(c, in, weight, outcome, static_cast<BFloat16*>(out), threads);
    else
      convolve(c, in, weight, outcome, static_cast<float*>(out), threads);
  };
  return guarded([&] {
    if (static_cast<Type>(type_in) == Type::bfloat16) from(static_cast<const BFloat16*>(x));
    else from(static_cast<const float*>(x));
  });
}
#endif
