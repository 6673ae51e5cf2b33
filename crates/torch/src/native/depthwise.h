// The weights' gradient of depthwise convolutions, in which each channel sees itself alone, on the vectors of any processor.
#pragma once

#include "tiled.h"

namespace ferrite::depthwise {

// The gradient of the weights in 32 bits, `[channels, 1, kernel, kernel]`, from that of the output.
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry);

}  // namespace ferrite::depthwise
