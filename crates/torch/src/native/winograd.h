// Convolutions of 3x3 windows of bfloat16 with fewer products: Winograd's minimal filtering (transforms.h). The
// products are made on the matrix unit (tiles.h).
#pragma once

#include "tiled.h"

namespace ferrite::winograd {

// The convolution and activation of `x` in bfloat16 with a weight of 32 bits; `shift` is added to each channel.
at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& shift, Geometry geometry,
                   Bounds bounds);

// The gradient of `x`, `[batch, in, height, width]`, from that of the output.
at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight, Geometry geometry, int64_t height,
                          int64_t width);

}  // namespace ferrite::winograd
