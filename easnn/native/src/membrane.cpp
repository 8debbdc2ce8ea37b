// The membranes of the embeddings over all sampling steps, forward and backward.
//
// Images are divided into tiles that do not depend on the number of threads. A tile is computed
// from its events and from the membrane of the step before, with the pixels around it: the values
// between convolutions stay in the cache. Sums of tiles are added in their order.
//
// Zeros are skipped, except where something is not finite: 0·∞ and 0·NaN are NaN.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "convolution.h"
#include "export.h"
#include "firing.h"
#include "numbers.h"

namespace easnn {
namespace {

constexpr int64_t kTileHeight = 32, kTileWidth = 2 * kUnit;

struct Sequence {
  int64_t steps, images, height, width;
  int channels;

  int64_t plane() const { return height * width; }
  int64_t image() const { return channels * plane(); }
  int64_t step() const { return images * image(); }
  int64_t tiles_down() const { return (height + kTileHeight - 1) / kTileHeight; }
  int64_t tiles_across() const { return (width + kTileWidth - 1) / kTileWidth; }
  int64_t tiles() const { return images * tiles_down() * tiles_across(); }
  int64_t tile_height() const { return std::min(height, kTileHeight); }
  int64_t tile_width() const { return std::min(width, kTileWidth); }

  int64_t image_of(int64_t tile) const { return tile / (tiles_down() * tiles_across()); }

  Tile tile(int64_t number) const {
    const int64_t y = number / tiles_across() % tiles_down() * kTileHeight;
    const int64_t x = number % tiles_across() * kTileWidth;
    return {y, x, std::min(kTileHeight, height - y), std::min(kTileWidth, width - x), height,
            width};
  }
};

// Slices of events, oldest first, whose images are contiguous.
template <class Real>
struct Slices {
  const Real* values;
  int64_t slice_stride, image_stride;
};

// A stack of convolutions with ReLU between them. Weights and bias of each follow one another.
template <class Real>
struct Branch {
  int in, out, depth, size;
  const Real* parameters;
  std::vector<Kernel<Real>> kernels, transposed;

  Branch(const Real* parameters, int in, int out, int depth, int size)
      : in(in), out(out), depth(depth), size(size), parameters(parameters) {
    for (int layer = 0; layer < depth; ++layer) {
      const Real* weight = parameters + offset(layer);
      kernels.emplace_back(weight, weight + weights(layer), inputs(layer), out, size);
      transposed.push_back(Kernel<Real>::transposed(weight, inputs(layer), out, size));
    }
  }

  int reach() const { return size / 2; }
  int inputs(int layer) const { return layer == 0 ? in : out; }
  int64_t weights(int layer) const { return int64_t{out} * inputs(layer) * size * size; }
  int64_t offset(int layer) const {
    int64_t sum = 0;
    for (int before = 0; before < layer; ++before) sum += weights(before) + out;
    return sum;
  }
  int64_t number() const { return offset(depth); }
  bool is_finite() const { return all_finite(parameters, number()); }
};

// The values of a branch in one tile, from the input (layer 0) to the output.
template <class Real>
class BranchValues {
 public:
  // backward: hold what the gradients need, with wider halos, instead of the output.
  // to_input: compute the gradient of the input, too.
  BranchValues(const Branch<Real>& branch, const Sequence& sequence, bool backward,
               bool to_input)
      : branch_(branch), to_input_(to_input) {
    const int64_t reach = branch.reach();
    const auto patch = [&](int channels, int64_t halo) {
      return Patch<Real>(channels, halo, sequence.tile_height(), sequence.tile_width());
    };
    int64_t halo = backward ? std::max<int64_t>(1, grads_beyond(branch.depth - 1)) * reach : 0;
    for (int layer = branch.depth - (backward ? 1 : 0); layer >= 0; --layer) {
      values_.insert(values_.begin(), patch(layer == 0 ? branch.in : branch.out, halo));
      halo += reach;
    }
    if (backward)
      for (int layer = 0; layer < branch.depth; ++layer)
        grads_.push_back(patch(layer == 0 ? branch.in : branch.out,
                               std::max(0, grads_beyond(layer)) * reach));
  }

  Patch<Real>& input() { return values_.front(); }
  const Patch<Real>& output() const { return values_.back(); }
  const Patch<Real>& input_grad() const { return grads_.front(); }

  void forward(const Tile& tile) {
    for (std::size_t layer = 0; layer + 1 < values_.size(); ++layer)
      convolve<Real>(tile, values_[layer], branch_.kernels[layer],
                     static_cast<int>(layer) + 1 < branch_.depth, nullptr, values_[layer + 1]);
  }

  // From the gradient of the output; adds those of the parameters to `sums`.
  void backward(const Tile& tile, const Patch<Real>& output_grad, double* sums) {
    forward(tile);
    for (int layer = branch_.depth - 1; layer >= 0; --layer) {
      const Patch<Real>& grad = layer + 1 == branch_.depth ? output_grad : grads_[layer + 1];
      add_weight_gradients(tile, grad, values_[layer], branch_.size,
                           sums + branch_.offset(layer));
      if (layer > 0 || to_input_)
        convolve<Real>(tile, grad, branch_.transposed[layer], false,
                       layer > 0 ? &values_[layer] : nullptr, grads_[layer]);
    }
  }

 private:
  // How many kernels the gradient of a layer's input reaches beyond the tile.
  int grads_beyond(int layer) const { return to_input_ ? layer : layer - 1; }

  const Branch<Real>& branch_;
  bool to_input_;
  std::vector<Patch<Real>> values_, grads_;
};

template <class Real>
struct Membrane {
  Sequence sequence;
  Firing<Real> firing;
  Slices<Real> slices;
  Branch<Real> charge;
  std::unique_ptr<Branch<Real>> gate;  // null: the membrane keeps the fraction `keep`
  Real keep;

  bool has_finite_weights() const {
    return charge.is_finite() && (!gate || gate->is_finite());
  }

  void load_events(int64_t t, int64_t image, const Tile& tile, bool marks,
                   Patch<Real>& patch) const {
    const Real* from = slices.values + (sequence.steps - 1 - t) * slices.slice_stride +
                       image * slices.image_stride;
    patch.fill(tile, marks, [&](int c, int64_t y, int64_t x, int64_t count, Real* to) {
      std::copy_n(from + c * sequence.plane() + y * sequence.width + x, count, to);
    });
  }

  // The spikes of a step with the membrane u; null: no spikes.
  void load_spikes(const Real* u, const Tile& tile, bool marks, Patch<Real>& patch) const {
    patch.fill(tile, marks, [&](int c, int64_t y, int64_t x, int64_t count, Real* to) {
      if (!u) return void(std::fill_n(to, count, Real(0)));
      const Real* from = u + c * sequence.plane() + y * sequence.width + x;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) to[i] = firing.spike(from[i]);
    });
  }

  // u: [steps, images, channels, height, width]; gates: those of all steps but the first, or null.
  void forward(Real* u, Real* gates, int threads) const {
    const bool marks = has_finite_weights();
    Failures failures;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      std::optional<BranchValues<Real>> charged, gated;
      std::vector<Real> unused;
      failures.keep([&] {
        charged.emplace(charge, sequence, false, false);
        if (gate) gated.emplace(*gate, sequence, false, false);
        unused.resize(sequence.tile_width());
      });
      const auto compute = [&](int64_t t, int64_t number) {
        const Tile tile = sequence.tile(number);
        const int64_t image = sequence.image_of(number);
        const int64_t at = t * sequence.step() + image * sequence.image();
        const Real* before = t == 0 ? nullptr : u + at - sequence.step();
        load_events(t, image, tile, marks, charged->input());
        charged->forward(tile);
        if (gated) {
          load_spikes(before, tile, marks, gated->input());
          gated->forward(tile);
        }
        for (int c = 0; c < sequence.channels; ++c)
          for (int64_t row = 0; row < tile.height; ++row) {
            const int64_t pixel = c * sequence.plane() + (tile.y + row) * sequence.width + tile.x;
            Real* kept = gates && t > 0 ? gates + at - sequence.step() + pixel : unused.data();
            step(charged->output(), gated ? &gated->output() : nullptr, c, row, tile.width,
                 before ? before + pixel : nullptr, u + at + pixel, kept);
          }
      };
      for (int64_t t = 0; t < sequence.steps; ++t) {
#pragma omp for schedule(dynamic)
        for (int64_t number = 0; number < sequence.tiles(); ++number)
          if (!failures.any()) failures.keep([&] { compute(t, number); });
      }
    }
    failures.rethrow();
  }

  struct Gradients {
    Real* events;  // as the slices, contiguous, or null
    double *charge, *gate, *keep;
  };

  // From the gradients of all membranes, as they are read from them.
  void backward(const Real* grad_u, const Real* u, const Real* gates, Gradients gradients,
                int threads) const {
    const int64_t of_charge = charge.number(), numbers_gate = gate ? gate->number() : 0;
    const int64_t numbers = of_charge + numbers_gate + 1;
    std::vector<double> sums(sequence.tiles() * numbers);
    // The whole gradients of two successive membranes.
    std::vector<Real> whole[2] = {std::vector<Real>(sequence.step()),
                                  std::vector<Real>(sequence.step())};
    const int64_t all = sequence.steps * sequence.step();
    const bool marks = has_finite_weights() && all_finite(grad_u, all, threads) &&
                       all_finite(u, all, threads);
    Failures failures;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      std::optional<BranchValues<Real>> charged, gated;
      std::optional<Patch<Real>> grad;
      failures.keep([&] {
        charged.emplace(charge, sequence, true, gradients.events != nullptr);
        if (gate) gated.emplace(*gate, sequence, true, true);
        const int64_t halo = (gate || gradients.events ? charge.depth : charge.depth - 1);
        grad.emplace(charge.out, halo * charge.reach(), sequence.tile_height(),
                     sequence.tile_width());
      });
      const auto compute = [&](int64_t t, int64_t number) {
        const bool last = t == sequence.steps - 1;
        const Real* now = last ? grad_u + t * sequence.step() : whole[t % 2].data();
        const Tile tile = sequence.tile(number);
        const int64_t image = sequence.image_of(number), of_image = image * sequence.image();
        const int64_t before = (t - 1) * sequence.step() + of_image;
        const Real* u_before = t > 0 ? u + before : nullptr;
        const Real* of_gate = t > 0 && gated ? gates + before : nullptr;
        double* sum = &sums[number * numbers];
        load_grads(now + of_image, u_before, of_gate, tile, marks, *grad);
        load_events(t, image, tile, marks, charged->input());
        charged->backward(tile, *grad, sum);
        if (gradients.events)
          put(charged->input_grad(), tile,
              gradients.events + (sequence.steps - 1 - t) * sequence.step() + of_image);
        if (gated) {
          load_spikes(u_before, tile, marks, gated->input());
          gated->backward(tile, *grad, sum + of_charge);
        }
        if (t == 0) return;
        for (int c = 0; c < sequence.channels; ++c)
          for (int64_t row = 0; row < tile.height; ++row) {
            const int64_t pixel = c * sequence.plane() + (tile.y + row) * sequence.width + tile.x;
            const Real* of_spikes = gated ? gated->input_grad().at(c, row) : nullptr;
            sum[numbers - 1] += step_back(
                now + of_image + pixel, grad_u + before + pixel, u_before + pixel,
                gated ? of_gate + pixel : nullptr, of_spikes, tile.width,
                &whole[(t - 1) % 2][of_image + pixel]);
          }
      };
      for (int64_t t = sequence.steps - 1; t >= 0; --t) {
#pragma omp for schedule(dynamic)
        for (int64_t number = 0; number < sequence.tiles(); ++number)
          if (!failures.any()) failures.keep([&] { compute(t, number); });
      }
    }
    failures.rethrow();

    std::vector<double> total(numbers);
    for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i) total[i % numbers] += sums[i];
    std::copy_n(total.begin(), of_charge, gradients.charge);
    if (gate) std::copy_n(total.begin() + of_charge, numbers_gate, gradients.gate);
    *gradients.keep = total.back();
  }

 private:
  // A row of U = gate·V + charge, from V after the reset of the step before.
  void step(const Patch<Real>& charged, const Patch<Real>* gated, int c, int64_t row,
            int64_t count, const Real* before, Real* u, Real* gates) const {
    const Firing<Real> rule = firing;  // a store could change a member, so the loops read a copy
    const int first = gated ? sequence.channels : 0;
    const Real* in = charged.at(first + c, row);
    const Real* in_gate = charged.at(c, row);
    if (!before && !gated) {
      std::copy_n(in, count, u);
    } else if (!before) {
      const Real *recurrent = gated->at(first + c, row), *recurrent_gate = gated->at(c, row);
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) {
        const Real gate = in_gate[i] + recurrent_gate[i];
        u[i] = gate == gate ? in[i] + recurrent[i] : gate;  // V is zero, but 0·NaN is not
      }
    } else if (!gated) {
      const Real fraction = keep;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) u[i] = fraction * rule.after(before[i]) + in[i];
    } else {
      const Real *recurrent = gated->at(first + c, row), *recurrent_gate = gated->at(c, row);
      // In one loop, GCC would not vectorise them.
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) gates[i] = sigmoid(in_gate[i] + recurrent_gate[i]);
#pragma omp simd
      for (int64_t i = 0; i < count; ++i)
        u[i] = gates[i] * rule.after(before[i]) + (in[i] + recurrent[i]);
    }
  }

  // The gradients of a branch's output: those of the gates, then those of the charges.
  void load_grads(const Real* grad, const Real* before, const Real* gates, const Tile& tile,
                  bool marks, Patch<Real>& patch) const {
    patch.fill(tile, marks, [&](int c, int64_t y, int64_t x, int64_t count, Real* to) {
      const int64_t pixel = y * sequence.width + x;
      if (!gate || c >= sequence.channels) {
        const int charged = gate ? c - sequence.channels : c;
        std::copy_n(grad + charged * sequence.plane() + pixel, count, to);
      } else if (!before) {
        std::fill_n(to, count, Real(0));
      } else {
        const int64_t at = c * sequence.plane() + pixel;
        const Real *g = grad + at, *u = before + at, *s = gates + at;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i)
          to[i] = g[i] * firing.after(u[i]) * ((1 - s[i]) * s[i]);
      }
    });
  }

  // The gradient of a row of the membrane before; returns the gradient of `keep`.
  double step_back(const Real* grad, const Real* read, const Real* u, const Real* gates,
                   const Real* of_spikes, int64_t count, Real* to) const {
    const Firing<Real> rule = firing;
    if (gates) {
#pragma omp simd
      for (int64_t i = 0; i < count; ++i)
        to[i] = read[i] + rule.gradient(u[i], grad[i] * gates[i], of_spikes[i]);
      return 0;
    }
    const Real fraction = keep;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) {
      to[i] = read[i] + rule.gradient(u[i], grad[i] * fraction, Real(0));
      sum += static_cast<double>(grad[i]) * rule.after(u[i]);
    }
    return sum;
  }

  void put(const Patch<Real>& patch, const Tile& tile, Real* image) const {
    for (int c = 0; c < sequence.channels; ++c)
      for (int64_t row = 0; row < tile.height; ++row)
        std::copy_n(patch.at(c, row + patch.halo, patch.halo), tile.width,
                    image + c * sequence.plane() + (tile.y + row) * sequence.width + tile.x);
  }
};

}  // namespace

// Arguments of a membrane; as MembraneArguments in easnn/kernels/membrane.py.
struct MembraneArguments {
  std::int64_t steps, images, channels, height, width;
  std::int64_t slice_stride, image_stride;
  std::int64_t depth, size;
  std::int64_t soft_reset, threads;
  double thresh, reset, keep;
  const void *slices, *charge, *gate;  // gate: parameters of the branch, or null
};

namespace {

template <class Real>
Membrane<Real> membrane_of(const MembraneArguments& a) {
  const int channels = static_cast<int>(a.channels), depth = static_cast<int>(a.depth);
  const int size = static_cast<int>(a.size), out = a.gate ? 2 * channels : channels;
  const auto branch = [&](const void* parameters) {
    return Branch<Real>(static_cast<const Real*>(parameters), channels, out, depth, size);
  };
  return {{a.steps, a.images, a.height, a.width, channels},
          {static_cast<Real>(a.thresh), static_cast<Real>(a.reset), a.soft_reset != 0},
          {static_cast<const Real*>(a.slices), a.slice_stride, a.image_stride},
          branch(a.charge),
          a.gate ? std::make_unique<Branch<Real>>(branch(a.gate)) : nullptr,
          static_cast<Real>(a.keep)};
}

template <class Real>
void run_forward(const MembraneArguments& a, void* u, void* gates) {
  membrane_of<Real>(a).forward(static_cast<Real*>(u), static_cast<Real*>(gates),
                               static_cast<int>(a.threads));
}

template <class Real>
void run_backward(const MembraneArguments& a, const void* grad_u, const void* u,
                  const void* gates, void* grad_events, double* grad_charge, double* grad_gate,
                  double* grad_keep) {
  membrane_of<Real>(a).backward(static_cast<const Real*>(grad_u), static_cast<const Real*>(u),
                                static_cast<const Real*>(gates),
                                {static_cast<Real*>(grad_events), grad_charge, grad_gate,
                                 grad_keep},
                                static_cast<int>(a.threads));
}

}  // namespace
}  // namespace easnn

using namespace easnn;

EASNN_EXPORT int64_t easnn_membrane(int type, const MembraneArguments* arguments, void* u,
                                    void* gates) {
  const auto run =
      static_cast<Type>(type) == Type::float64 ? run_forward<double> : run_forward<float>;
  return guarded([&] { run(*arguments, u, gates); });
}

EASNN_EXPORT int64_t easnn_membrane_backward(int type, const MembraneArguments* arguments,
                                             const void* grad_u, const void* u,
                                             const void* gates, void* grad_events,
                                             double* grad_charge, double* grad_gate,
                                             double* grad_keep) {
  const auto run =
      static_cast<Type>(type) == Type::float64 ? run_backward<double> : run_backward<float>;
  return guarded([&] {
    run(*arguments, grad_u, u, gates, grad_events, grad_charge, grad_gate, grad_keep);
  });
}
