// What an activation does to gradients.
#pragma once

#include "positions.h"

namespace ferrite {

// Keeps of `gradient`, behind an activation whose output was `out`, what goes on in front of it, and gives its sum over
// all positions for each channel, as 32-bit floats. Both have their channels last in memory.
at::Tensor pass_through_activation(const at::Tensor& gradient, const at::Tensor& out, Bounds bounds);

}  // namespace ferrite
