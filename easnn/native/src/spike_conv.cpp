// Convolutions whose input is mostly zero: spikes, and sums of few of them.
//
// A dense convolution multiplies every weight by every input. Here the weights of an input that is
// zero are skipped: for each output pixel, the weights of its spikes, a vector over the output
// channels, are added. The sums are those of the dense convolution without its zeros, in the order
// row of the kernel, column of the kernel, input channel.
//
// A weight that is not finite is not skipped by a dense convolution: 0·∞ and 0·NaN are NaN. So the
// functions refuse such weights and gradients.
//
// Values are stored channels last: [images, height, width, channels].

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "export.h"
#include "numbers.h"
#include "vectors.h"

namespace easnn {
namespace {

using std::int64_t;

constexpr int64_t kWord = 64;  // bits
constexpr int64_t kGroup = 16;  // inputs whose bits are found together
constexpr int64_t kLane = kLanes<float>;
constexpr int64_t kMaxVectors = 8;  // accumulators of one output pixel that stay in registers
using Vector = Vec<float>;

struct Convolution {
  int64_t images, height, width, in_channels, out_channels, kernel, stride, padding;
  int64_t out_height, out_width;

  int64_t words() const { return (in_channels + kWord - 1) / kWord; }  // of the bits of a pixel
  int64_t pixels() const { return images * height * width; }
  int64_t rows() const { return images * out_height; }
  // Output channels of the block that starts at a channel.
  int64_t block_at(int64_t channel) const {
    return std::min(out_channels - channel, kMaxVectors * kLane);
  }
};

// One bit for each input, set where it is not zero: [pixels, words].
class Occupancy {
 public:
  template <class Spike>
  Occupancy(const Spike* x, const Convolution& c, int threads)
      : words_(c.words()), bits_(new std::uint64_t[c.pixels() * c.words()]) {
    int64_t set = 0;
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(+ : set)
    for (int64_t pixel = 0; pixel < c.pixels(); ++pixel) {
      std::uint64_t* words = &bits_[pixel * words_];
      std::fill_n(words, words_, 0);
      for (int64_t first = 0; first < c.in_channels; first += kGroup) {
        const Spike* values = x + pixel * c.in_channels + first;
        std::uint32_t bits = 0;
#pragma omp simd reduction(| : bits)
        for (int lane = 0; lane < kGroup; ++lane) bits |= values[lane] != 0 ? 1u << lane : 0u;
        words[first / kWord] |= std::uint64_t{bits} << first % kWord;
        set += __builtin_popcount(bits);
      }
    }
    density_ = static_cast<double>(set) / (c.pixels() * c.in_channels);
  }

  const std::uint64_t* pixel(int64_t number) const { return &bits_[number * words_]; }
  double density() const { return density_; }

 private:
  int64_t words_;
  std::unique_ptr<std::uint64_t[]> bits_;
  double density_;
};

// Calls visit(pixel of the input, tap of the kernel) for each tap of an output pixel that lies on
// the image.
template <class Visit>
inline void taps(const Convolution& c, int64_t image, int64_t out_y, int64_t out_x, Visit visit) {
  for (int64_t ky = 0; ky < c.kernel; ++ky) {
    const int64_t y = out_y * c.stride + ky - c.padding;
    if (y < 0 || y >= c.height) continue;
    for (int64_t kx = 0; kx < c.kernel; ++kx) {
      const int64_t x = out_x * c.stride + kx - c.padding;
      if (x < 0 || x >= c.width) continue;
      visit((image * c.height + y) * c.width + x, ky * c.kernel + kx);
    }
  }
}

// Calls visit(channel) for each input of a pixel that is not zero.
template <class Visit>
inline void spikes(const std::uint64_t* occupied, int64_t words, Visit visit) {
  for (int64_t word = 0; word < words; ++word)
    for (std::uint64_t bits = occupied[word]; bits != 0; bits &= bits - 1)
      visit(word * kWord + __builtin_ctzll(bits));
}

// Turns weights [out, taps, in] into [blocks of out][taps, in, out of the block]. Returns whether all
// of them are finite.
bool arrange(const Convolution& c, const float* from, float* to) {
  const int64_t inputs = c.kernel * c.kernel * c.in_channels;
  bool finite = true;
  for (int64_t first = 0; first < c.out_channels; first += c.block_at(first))
    for (int64_t input = 0; input < inputs; input += kGroup)  // a line of the cache
      for (int64_t lane = 0, block = c.block_at(first); lane < block; ++lane) {
        const float* row = from + (first + lane) * inputs + input;
        float* column = to + first * inputs + input * block + lane;
        finite = all_finite(row, kGroup) && finite;
        for (int64_t i = 0; i < kGroup; ++i) column[i * block] = row[i];
      }
  return finite;
}

template <int vectors>
void forward_row(const Convolution& c, const float* x, const Occupancy& occupancy,
                 const float* weights, const float* bias, int64_t row, float* out) {
  const int64_t image = row / c.out_height, out_y = row % c.out_height;
  constexpr int64_t block = vectors * kLane;
  for (int64_t out_x = 0; out_x < c.out_width; ++out_x) {
    Vector sums[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) sums[j] = bias ? load_vector(bias + j * kLane) : Vector{};
    taps(c, image, out_y, out_x, [&](int64_t pixel, int64_t tap) {
      const float* values = x + pixel * c.in_channels;
      const float* of_tap = weights + tap * c.in_channels * block;
      spikes(occupancy.pixel(pixel), c.words(), [&](int64_t channel) {
        const Vector value = broadcast(values[channel]);
        const float* of_input = of_tap + channel * block;
#pragma GCC unroll 8
        for (int j = 0; j < vectors; ++j)
          sums[j] = multiply_add(load_vector(of_input + j * kLane), value, sums[j]);
      });
    });
    float* pixel = out + (row * c.out_width + out_x) * c.out_channels;
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) store_vector(pixel + j * kLane, sums[j]);
  }
}

constexpr int64_t kGradVectors = 4;  // output channels of a tile of the weights
constexpr int64_t kGradPixels = 2048;  // summed in float32 before they are added to the total

// Sums the gradients of a tile of the weights over all output pixels: those of one tap, up to 64
// inputs and up to 64 outputs, which stay in the first cache. No two tiles share a weight.
template <int vectors, class Spike>
void grad_tile(const Convolution& c, const Spike* x, const Occupancy& occupancy, const float* grad,
               int64_t tap, int64_t word, int64_t first, float* grad_weight) {
  constexpr int64_t block = vectors * kLane;
  const int64_t inputs = std::min(kWord, c.in_channels - word * kWord);
  const int64_t ky = tap / c.kernel, kx = tap % c.kernel;
  std::vector<float> partial(inputs * block);
  std::vector<double> total(inputs * block);
  int64_t pixels = 0;
  const auto flush = [&] {
    for (int64_t i = 0; i < inputs * block; ++i) total[i] += partial[i];
    std::fill(partial.begin(), partial.end(), 0.0f);
    pixels = 0;
  };
  for (int64_t row = 0; row < c.rows(); ++row) {
    const int64_t image = row / c.out_height;
    const int64_t y = row % c.out_height * c.stride + ky - c.padding;
    if (y < 0 || y >= c.height) continue;
    for (int64_t out_x = 0; out_x < c.out_width; ++out_x) {
      const int64_t in_x = out_x * c.stride + kx - c.padding;
      if (in_x < 0 || in_x >= c.width) continue;
      const int64_t pixel = (image * c.height + y) * c.width + in_x;
      const std::uint64_t bits = occupancy.pixel(pixel)[word];
      if (bits == 0) continue;
      const float* of_pixel = grad + (row * c.out_width + out_x) * c.out_channels + first;
      const Spike* values = x + pixel * c.in_channels + word * kWord;
      Vector of_output[vectors];
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) of_output[j] = load_vector(of_pixel + j * kLane);
      spikes(&bits, 1, [&](int64_t channel) {
        const Vector value = broadcast(static_cast<float>(values[channel]));
        float* of_input = &partial[channel * block];
#pragma GCC unroll 8
        for (int j = 0; j < vectors; ++j) {
          const Vector sum = load_vector<float>(of_input + j * kLane);
          store_vector(of_input + j * kLane, multiply_add(of_output[j], value, sum));
        }
      });
    }
    pixels += c.out_width;
    if (pixels >= kGradPixels) flush();
  }
  flush();
  const int64_t all_inputs = c.kernel * c.kernel * c.in_channels;
  const int64_t origin = tap * c.in_channels + word * kWord;
  for (int64_t lane = 0; lane < block; ++lane)
    for (int64_t input = 0; input < inputs; ++input)
      grad_weight[(first + lane) * all_inputs + origin + input] =
          static_cast<float>(total[input * block + lane]);
}

// Calls call(integral constant) with the number of vectors of a block as a constant.
template <class Call>
void with_vectors(int64_t vectors, Call call) {
  switch (vectors) {
    case 1: return call(std::integral_constant<int, 1>{});
    case 2: return call(std::integral_constant<int, 2>{});
    case 3: return call(std::integral_constant<int, 3>{});
    case 4: return call(std::integral_constant<int, 4>{});
    case 5: return call(std::integral_constant<int, 5>{});
    case 6: return call(std::integral_constant<int, 6>{});
    case 7: return call(std::integral_constant<int, 7>{});
    case 8: return call(std::integral_constant<int, 8>{});
  }
}

bool forward(const Convolution& c, const float* x, const float* weight, const float* bias,
             double max_density, float* out, int threads) {
  const int64_t inputs = c.kernel * c.kernel * c.in_channels;
  const Occupancy occupancy(x, c, threads);
  if (occupancy.density() > max_density) return false;
  const std::unique_ptr<float[]> blocked(new float[inputs * c.out_channels]);
  if (!arrange(c, weight, blocked.get())) return false;
  for (int64_t first = 0; first < c.out_channels; first += c.block_at(first))
    with_vectors(c.block_at(first) / kLane, [&](auto vectors) {
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 4)
      for (int64_t row = 0; row < c.rows(); ++row)
        forward_row<vectors>(c, x, occupancy, &blocked[first * inputs],
                             bias ? bias + first : nullptr, row, out + first);
    });
  return true;
}

bool backward(const Convolution& c, const std::uint8_t* x, const float* grad, double max_density,
              float* grad_weight, int threads) {
  const Occupancy occupancy(x, c, threads);
  if (occupancy.density() > max_density) return false;
  if (!all_finite(grad, c.rows() * c.out_width * c.out_channels, threads)) return false;
  constexpr int64_t block = kGradVectors * kLane;
  const int64_t blocks = (c.out_channels + block - 1) / block, words = c.words();
  const int64_t tiles = blocks * c.kernel * c.kernel * words;
  Failures failures;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
  for (int64_t tile = 0; tile < tiles; ++tile)
    failures.keep([&] {
      const int64_t first = tile % blocks * block, rest = tile / blocks;
      with_vectors(std::min(block, c.out_channels - first) / kLane, [&](auto vectors) {
        grad_tile<vectors>(c, x, occupancy, grad, rest / words, rest % words, first, grad_weight);
      });
    });
  failures.rethrow();
  return true;
}

}  // namespace
}  // namespace easnn

using namespace easnn;

// Channels of input and output are multiples of 16. Returns 0, without a result, where a dense
// convolution must compute it: if more than a share `max_density` of the inputs is not zero, since
// it is then faster, or if a weight is not finite.
EASNN_EXPORT int64_t easnn_spike_conv(const float* x, const float* weight, const float* bias,
                                      int64_t images, int64_t height, int64_t width,
                                      int64_t in_channels, int64_t out_channels, int64_t kernel,
                                      int64_t stride, int64_t padding, int64_t out_height,
                                      int64_t out_width, double max_density, float* out,
                                      int threads) {
  const Convolution c{images, height,  width,   in_channels, out_channels,
                      kernel, stride, padding, out_height,  out_width};
  return guarded([&] { return forward(c, x, weight, bias, max_density, out, threads); });
}

// From spikes in bytes and the gradient of the output to the gradient of the weights [out, kernel,
// kernel, in]. Returns 0 as easnn_spike_conv does, or if a gradient is not finite.
EASNN_EXPORT int64_t easnn_spike_conv_grad_weight(
    const std::uint8_t* x, const float* grad, int64_t images, int64_t height, int64_t width,
    int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride, int64_t padding,
    int64_t out_height, int64_t out_width, double max_density, float* grad_weight, int threads) {
  const Convolution c{images, height,  width,   in_channels, out_channels,
                      kernel, stride, padding, out_height,  out_width};
  return guarded([&] { return backward(c, x, grad, max_density, grad_weight, threads); });
}
