// The three passes of a convolution of bfloat16 as products on the matrix unit (tiles.h).
#pragma once

#include "shared.h"

namespace ferrite {

// How the windows of a convolution lie.
struct Geometry {
  int64_t stride, padding, groups;

  // Positions a side of the output.
  int64_t out_side(int64_t side, int64_t kernel) const {
    return ferrite::out_side(side, kernel, stride, padding);
  }
};

namespace tiled {

// The convolution and activation of `x` in bfloat16 with a weight of 32 bits; `shift`, of 32 bits, is added to each
// channel.
at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& shift, Geometry geometry,
                   Bounds bounds);

// The gradient of `x`, `[batch, in, height, width]`, from that of the output. The stride is 1, or windows have one
// position and images no padding.
at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight, Geometry geometry, int64_t height,
                          int64_t width);

// The gradient of the weights in 32 bits, `[out, in, kernel, kernel]` with the channels last.
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry);

}  // namespace tiled
}  // namespace ferrite
