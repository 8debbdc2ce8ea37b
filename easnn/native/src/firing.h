// How a membrane of an embedding fires and resets (easnn/models/embedding/recurrence.py).
#pragma once

#include <cmath>

namespace easnn {

template <class Real>
struct Firing {
  Real thresh, reset;
  bool soft;  // subtract the threshold instead

  Real spike(Real u) const { return u > thresh ? Real(1) : Real(0); }

  // V, the membrane after the reset.
  Real after(Real u) const {
    const Real s = spike(u);
    return soft ? u - thresh * s : u * (1 - s) + reset * s;
  }

  // The derivative of the spike: a rectangle.
  Real surrogate(Real u) const { return std::abs(u - thresh) < Real(0.5) ? Real(1) : Real(0); }

  // The gradient of U from those of V and of the spike.
  Real gradient(Real u, Real of_v, Real of_spike) const {
    const Real direct = soft ? of_v : of_v * (1 - spike(u));
    const Real through = soft ? of_spike - thresh * of_v : of_spike + of_v * (reset - u);
    return direct + through * surrogate(u);
  }
};

}  // namespace easnn
