// What an activation does to gradients.
#pragma once

#include "positions.h"

namespace ferrite {

// A gradient, and its sum over all positions for each channel, as 32-bit floats.
struct Passed {
  at::Tensor gradient, sums;
};

// What of `gradient`, behind an activation whose output was `out`, goes on in front of it. Both have their channels last
// in memory.
Passed through_activation(const at::Tensor& gradient, const at::Tensor& out, Bounds bounds);

}  // namespace ferrite
