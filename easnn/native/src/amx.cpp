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
#include <type_traits>

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
constexpr int64_t kColumns = 16;   // of a tile of sums: channels of the output
constexpr int64_t kTile = kRows * kInputs;  // numbers
constexpr int64_t kPixels = 2 * kRows;      // of four tiles of sums
constexpr int64_t kOutputs = 2 * kColumns;  // channels of four tiles of sums
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
  // The last block may have 16 channels.
  int64_t out_blocks() const { return (out_channels + kOutputs - 1) / kOutputs; }
  // Numbers of the weights of a block of outputs.
  int64_t panel() const { return in_blocks() * taps() * kParts * 2 * kTile; }
  // Rows of outputs of an item of work, which decide no sum.
  int64_t item_rows() const {
    const int64_t rows = std::max<int64_t>(1, kItemPixels / out_width);
    const int64_t items = (out_height + rows - 1) / rows;
    return (out_height + items - 1) / items;
  }
  int64_t items_of_image() const { return (out_height + item_rows() - 1) / item_rows(); }
  // Whether tiles can be loaded from an input of bfloat16 as it is.
  bool reads_input() const {
    const int64_t last_rows = out_height - (items_of_image() - 1) * item_rows();
    return kernel == 1 && stride == 1 && padding == 0 && in_channels % kInputs == 0 &&
           last_rows * out_width >= kPixels;
  }
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

// [blocks of outputs][blocks of inputs][taps][parts][2 tiles][pairs of inputs][outputs][2], from
// weights [out, taps, in]. A part is what the next 8 significant bits say: the sum of all is the
// weight.
void pack_weights(const Convolution& c, const float* weights, std::uint16_t* packed, int threads) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
  const int64_t tiles_out = c.out_channels / kColumns;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < tiles_out * c.in_blocks(); ++item) {
    const int64_t out = item / c.in_blocks(), block = item % c.in_blocks();
    std::uint16_t* of_block = packed + out / 2 * c.panel() + out % 2 * kTile +
                              block * c.taps() * kParts * 2 * kTile;
    for (int64_t tap = 0; tap < c.taps(); ++tap)
      for (int64_t half = 0; half < 2; ++half) {
        std::uint16_t* to = of_block + tap * kParts * 2 * kTile + half * kTile / 2;
        const int64_t channel = block * kInputs + half * 16;
        __m512 inputs[16];
        for (int64_t o = 0; o < kColumns; ++o)
          inputs[o] = channel < c.in_channels
                          ? _mm512_loadu_ps(weights + ((out * kColumns + o) * c.taps() + tap) *
                                                          c.in_channels +
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
            _mm512_storeu_si512(to + part * 2 * kTile + pair * 2 * kColumns,
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
        // The last tiles of an item read beyond its pixels.
        block_((rows_ * columns + kPixels) * kInputs),
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

// Where the input pixels of an output pixel are: `pitch` numbers from one pixel to the next.
struct Pixels {
  const PackedPixels* packed;  // null: the input itself is read
  const std::uint16_t* input;  // [steps, batch, pixels, channels]
  int64_t pitch, columns;

  // The first input pixel of a block of channels for a tap, of the item's output pixel `first`.
  const std::uint16_t* at(const Convolution& c, int64_t t, int64_t image, int64_t first_row,
                          int64_t first, int64_t ky, int64_t kx, int64_t block) const {
    if (packed)
      return packed->at(t, ky % c.stride, kx % c.stride, block) +
             (first + ky / c.stride * columns + kx / c.stride) * pitch;
    return input + ((t * c.batch + image) * c.height * c.width + first_row * c.width + first) *
                       pitch + block * kInputs;
  }
};

// Sums of 32 pixels and 32 or 16 channels of the output, over all taps and inputs, in float32:
// sums[pixel][32]. Four sums take turns, because each waits for the one before it.
template <bool both>
inline void multiply(const Convolution& c, const Pixels& pixels, int64_t t, int64_t image,
                     int64_t first_row, int64_t first, const std::uint16_t* weights, float* sums) {
  constexpr int64_t kBytes = 2 * kInputs, kSumBytes = 4 * kOutputs;
  const int64_t pixel_bytes = 2 * pixels.pitch;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (both) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t block = 0; block < c.in_blocks(); ++block)
    for (int64_t ky = 0; ky < c.kernel; ++ky)
      for (int64_t kx = 0; kx < c.kernel; ++kx, weights += kParts * 2 * kTile) {
        const std::uint16_t* from = pixels.at(c, t, image, first_row, first, ky, kx, block);
        _tile_loadd(4, from, pixel_bytes);
        _tile_loadd(5, from + kRows * pixels.pitch, pixel_bytes);
#pragma GCC unroll 3
        for (int64_t part = 0; part < kParts; ++part) {
          _tile_loadd(6, weights + part * 2 * kTile, kBytes);
          _tile_dpbf16ps(0, 4, 6);
          _tile_dpbf16ps(1, 5, 6);
          if constexpr (both) {
            _tile_loadd(7, weights + (part * 2 + 1) * kTile, kBytes);
            _tile_dpbf16ps(2, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
          }
        }
      }
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + kRows * kOutputs, kSumBytes);
  if constexpr (both) {
    _tile_stored(2, sums + kColumns, kSumBytes);
    _tile_stored(3, sums + kRows * kOutputs + kColumns, kSumBytes);
  }
}

// What becomes of the sums of a pixel: scale·sum + shift, and, if it fires, spikes of a membrane.
struct Outcome {
  const float *scale, *shift;  // [out_channels]; null: 1 and 0
  bool fires;
  float keep;  // the fraction that is left of the membrane after a step
};

inline void put(float* to, __m512 values) { _mm512_storeu_ps(to, values); }
inline void put_spikes(float* to, __mmask16 spikes) {
  _mm512_storeu_ps(to, _mm512_maskz_mov_ps(spikes, _mm512_set1_ps(1)));
}
inline void put_spikes(BFloat16* to, __mmask16 spikes) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm256_maskz_set1_epi16(spikes, 0x3F80));  // 1 in bfloat16
}
inline void put_spikes(BFloat16* to, __mmask16 first, __mmask16 second) {
  _mm512_storeu_si512(to, _mm512_maskz_set1_epi16(
                              _mm512_kunpackw(second, first), 0x3F80));
}
inline void put_spikes(float* to, __mmask16 first, __mmask16 second) {
  put_spikes(to, first);
  put_spikes(to + kColumns, second);
}

// Turns the sums of successive pixels into spikes, and updates their membranes.
template <bool first_step, int vectors, class Out>
inline void fire(const float* sums, float* membranes, const __m512* scale, const __m512* shift,
                 __m512 keep, int64_t count, int64_t pitch, Out* out) {
  const __m512 one = _mm512_set1_ps(1);
  for (int64_t i = 0; i < count; ++i, sums += kOutputs, membranes += kOutputs, out += pitch) {
    __mmask16 spikes[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const __m512 current = _mm512_fmadd_ps(_mm512_load_ps(sums + v * kColumns), scale[v], shift[v]);
      const __m512 h = first_step ? current
                                  : _mm512_fmadd_ps(_mm512_load_ps(membranes + v * kColumns), keep,
                                                    current);
      spikes[v] = _mm512_cmp_ps_mask(h, one, _CMP_GE_OQ);
      _mm512_store_ps(membranes + v * kColumns, _mm512_mask_sub_ps(h, spikes[v], h, one));
    }
    if constexpr (vectors == 2) put_spikes(out, spikes[0], spikes[1]);
    else put_spikes(out, spikes[0]);
  }
}

template <int vectors, class Out>
inline void scaled(const float* sums, const __m512* scale, const __m512* shift, int64_t count,
                   int64_t pitch, Out* out) {
  if constexpr (std::is_same_v<Out, float>)
    for (int64_t i = 0; i < count; ++i, sums += kOutputs, out += pitch)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v)
        put(out + v * kColumns,
            _mm512_fmadd_ps(_mm512_load_ps(sums + v * kColumns), scale[v], shift[v]));
}

// The item's outputs of a block of channels.
template <bool both, class Out>
void compute_block(const Convolution& c, const Pixels& pixels, const std::uint16_t* weights,
                   const Outcome& outcome, int64_t image, int64_t first_row, int64_t out_rows,
                   int64_t channel, Out* out) {
  constexpr int vectors = both ? 2 : 1;
  alignas(64) float sums[kPixels * kOutputs];
  alignas(64) float membranes[kPixels * kOutputs];
  const __m512 keep = _mm512_set1_ps(outcome.keep);
  __m512 scale[vectors], shift[vectors];
  for (int v = 0; v < vectors; ++v) {
    const int64_t at = channel + v * kColumns;
    scale[v] = outcome.scale ? _mm512_loadu_ps(outcome.scale + at) : _mm512_set1_ps(1);
    shift[v] = outcome.shift ? _mm512_loadu_ps(outcome.shift + at) : _mm512_setzero_ps();
  }
  const int64_t count = (out_rows - 1) * pixels.columns + c.out_width;
  for (int64_t begin = 0; begin < count; begin += kPixels) {
    // Without packed pixels, nothing behind the last one may be read.
    const int64_t first = pixels.packed ? begin : std::min(begin, count - kPixels);
    const int64_t number = std::min(kPixels, count - first);
    for (int64_t t = 0; t < c.steps; ++t) {
      multiply<both>(c, pixels, t, image, first_row, first, weights, sums);
      // Runs of pixels between the ends of rows.
      int64_t column = first % pixels.columns, y = first_row + first / pixels.columns;
      for (int64_t i = 0; i < number;) {
        const int64_t run = std::min(number - i, std::max<int64_t>(c.out_width - column, 0));
        Out* to = out + (((t * c.batch + image) * c.out_height + y) * c.out_width + column) *
                            c.out_channels + channel;
        const float* from = sums + i * kOutputs;
        float* membrane = membranes + i * kOutputs;
        if (!outcome.fires)
          scaled<vectors>(from, scale, shift, run, c.out_channels, to);
        else if (t == 0)
          fire<true, vectors>(from, membrane, scale, shift, keep, run, c.out_channels, to);
        else
          fire<false, vectors>(from, membrane, scale, shift, keep, run, c.out_channels, to);
        i += pixels.columns - column;
        column = 0;
        ++y;
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
  const std::uint16_t* input = nullptr;
  if constexpr (std::is_same_v<In, BFloat16>)
    if (c.reads_input()) input = reinterpret_cast<const std::uint16_t*>(x);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const TileConfig config;
    _tile_loadconfig(&config);
    std::unique_ptr<PackedPixels> packed_pixels;
    if (!input) failures.keep([&] { packed_pixels = std::make_unique<PackedPixels>(c); });
    const Pixels pixels{packed_pixels.get(), input, input ? c.in_channels : kInputs,
                        input ? c.out_width : packed_pixels ? packed_pixels->columns : 0};
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < items; ++item) {
      if (!input && !packed_pixels) continue;
      const int64_t image = item / c.items_of_image();
      const int64_t first_row = item % c.items_of_image() * c.item_rows();
      const int64_t out_rows = std::min(c.item_rows(), c.out_height - first_row);
      if (packed_pixels) packed_pixels->fill(x, image, first_row, out_rows);
      for (int64_t block = 0; block < c.out_blocks(); ++block) {
        const int64_t channel = block * kOutputs;
        const auto run = c.out_channels - channel > kColumns ? compute_block<true, Out>
                                                             : compute_block<false, Out>;
        run(c, pixels, &packed[block * c.panel()], outcome, image, first_row, out_rows, channel,
            out);
      }
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
