// The segments that the adaptive sampler writes, from the membranes of all steps.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "export.h"
#include "firing.h"
#include "numbers.h"

namespace easnn {
namespace {

using std::int64_t;

constexpr int64_t kBlockPixels = 512;

// As the codes in easnn/kernels/segments.py.
enum class Readout : int { sum = 0, last = 1, avg = 2 };

template <class Real>
struct Segments {
  int64_t pixels, steps, most;  // most: segments that are written per pixel
  Readout readout;
  bool attach, drop;
  Firing<Real> firing;

  static Real read(Readout readout, Real accumulated, Real last, Real span) {
    return readout == Readout::sum ? accumulated
           : readout == Readout::last ? last
                                      : accumulated / span;
  }

  template <class Work>
  void blocks(int threads, Work work) const {
    const int64_t number = (pixels + kBlockPixels - 1) / kBlockPixels;
    Failures failures;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t block = 0; block < number; ++block)
      failures.keep([&] {
        const int64_t first = block * kBlockPixels;
        work(first, std::min(kBlockPixels, pixels - first));
      });
    failures.rethrow();
  }

  // u: [steps, pixels]; written: [most, pixels].
  void forward(const Real* u, Real* written, int threads) const {
    blocks(threads, [&](int64_t first, int64_t count) {
      Real accumulated[kBlockPixels] = {}, span[kBlockPixels] = {}, segment[kBlockPixels] = {};
      for (int64_t n = 0; n < most; ++n) std::fill_n(written + n * pixels + first, count, Real(0));
      for (int64_t t = 0; t < steps; ++t) {
        const Real* membrane = u + t * pixels + first;
        const bool rest = t + 1 == steps && !drop;
        for (int64_t n = 0; n < most; ++n) {
          Real* out = written + n * pixels + first;
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) {
            const Real sum = accumulated[i] + membrane[i];
            const bool fired = membrane[i] > firing.thresh;
            // What no spike ends is read from V, which is U there.
            const Real value = read(readout, sum, membrane[i], span[i] + 1);
            out[i] = segment[i] == n && (fired || rest) ? value : out[i];
          }
        }
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const bool fired = membrane[i] > firing.thresh;
          accumulated[i] = fired ? Real(0) : accumulated[i] + membrane[i];
          span[i] = fired ? Real(0) : span[i] + 1;
          segment[i] += fired ? Real(1) : Real(0);
        }
      }
    });
  }

  // From the gradient of what is written [most, pixels] to that of u [steps, pixels].
  void backward(const Real* grad, const Real* u, Real* grad_u, int threads) const {
    if (readout == Readout::sum) backward_of<Readout::sum>(grad, u, grad_u, threads);
    else if (readout == Readout::last) backward_of<Readout::last>(grad, u, grad_u, threads);
    else backward_of<Readout::avg>(grad, u, grad_u, threads);
  }

 private:
  // With the readout at run time, the last loop is not vectorised.
  template <Readout kReadout>
  void backward_of(const Real* grad, const Real* u, Real* grad_u, int threads) const {
    blocks(threads, [&](int64_t first, int64_t count) {
      // The state before each step, and the gradient of the segment that is open in it.
      std::vector<Real> accumulated((steps + 1) * kBlockPixels), span(accumulated),
          segment(accumulated);
      for (int64_t t = 0; t < steps; ++t) {
        const Real* membrane = u + t * pixels + first;
        const int64_t at = t * kBlockPixels, next = at + kBlockPixels;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const bool fired = membrane[i] > firing.thresh;
          accumulated[next + i] = fired ? Real(0) : accumulated[at + i] + membrane[i];
          span[next + i] = fired ? Real(0) : span[at + i] + 1;
          segment[next + i] = segment[at + i] + (fired ? Real(1) : Real(0));
        }
      }
      const Firing<Real> rule = firing;  // a store could change a member, so the loop reads a copy
      const bool attached = attach;
      Real carry[kBlockPixels] = {}, of_segment[kBlockPixels];
      for (int64_t t = steps - 1; t >= 0; --t) {
        const Real* membrane = u + t * pixels + first;
        Real* to = grad_u + t * pixels + first;
        const int64_t at = t * kBlockPixels;
        const bool rest = t + 1 == steps && !drop;
        std::fill_n(of_segment, count, Real(0));
        for (int64_t n = 0; n < most; ++n) {
          const Real* from = grad + n * pixels + first;
#pragma omp simd
          for (int64_t i = 0; i < count; ++i)
            of_segment[i] = segment[at + i] == n ? from[i] : of_segment[i];
        }
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const Real x = membrane[i];
          const bool fired = x > rule.thresh;
          const Real g = fired || rest ? of_segment[i] : Real(0);
          const Real steps_of_it = span[at + i] + 1;
          const Real value = read(kReadout, accumulated[at + i] + x, x, steps_of_it);
          // After a spike, the sum begins again: nothing of it reaches back.
          const Real later = fired ? Real(0) : carry[i];
          carry[i] = kReadout == Readout::last  ? Real(0)
                     : kReadout == Readout::avg ? later + g / steps_of_it
                                                : later + g;
          // The last membrane is read after its reset if no spike ends the segment.
          const Real of_last =
              kReadout != Readout::last ? Real(0) : fired ? g : rule.gradient(x, g, Real(0));
          const Real of_spike = attached && fired ? g * value * rule.surrogate(x) : Real(0);
          to[i] = carry[i] + of_last + of_spike;
        }
      }
    });
  }
};

}  // namespace

// As SegmentArguments in easnn/kernels/segments.py.
struct SegmentArguments {
  std::int64_t pixels, steps, most, readout, attach, drop, soft_reset, threads;
  double thresh, reset;
};

namespace {

template <class Real>
Segments<Real> segments_of(const SegmentArguments& a) {
  return {a.pixels,
          a.steps,
          a.most,
          static_cast<Readout>(a.readout),
          a.attach != 0,
          a.drop != 0,
          {static_cast<Real>(a.thresh), static_cast<Real>(a.reset), a.soft_reset != 0}};
}

}  // namespace
}  // namespace easnn

using namespace easnn;

EASNN_EXPORT int64_t easnn_segments(int type, const SegmentArguments* arguments, const void* u,
                                    void* written) {
  const auto run = [&](auto zero) {
    using Real = decltype(zero);
    segments_of<Real>(*arguments)
        .forward(static_cast<const Real*>(u), static_cast<Real*>(written),
                 static_cast<int>(arguments->threads));
  };
  return guarded([&] { static_cast<Type>(type) == Type::float64 ? run(0.0) : run(0.0f); });
}

EASNN_EXPORT int64_t easnn_segments_backward(int type, const SegmentArguments* arguments,
                                             const void* grad, const void* u, void* grad_u) {
  const auto run = [&](auto zero) {
    using Real = decltype(zero);
    segments_of<Real>(*arguments)
        .backward(static_cast<const Real*>(grad), static_cast<const Real*>(u),
                  static_cast<Real*>(grad_u), static_cast<int>(arguments->threads));
  };
  return guarded([&] { static_cast<Type>(type) == Type::float64 ? run(0.0) : run(0.0f); });
}
