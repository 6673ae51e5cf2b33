// The three passes of a convolution of bfloat16 as products on the matrix unit (tiles.h).
#pragma once

#include "shared.h"

namespace ferrite {

struct Geometry {
  int64_t stride, padding, groups;

  // Positions a side of the output.
  int64_t out_side(int64_t side, int64_t kernel) const {
    return ferrite::out_side(side, kernel, stride, padding);
  }
};

namespace tiled {

// Whether the unit is here, and nobody held LibTorch or oneDNN back from using it.
bool available();

// Whether it takes a convolution of `x` with weights of these sizes, `[out, in, kernel, kernel]`, and is faster than
// oneDNN: in `forward` and `input_gradient`, and in `weight_gradient`.
bool wins(const at::Tensor& x, const at::Tensor& weight, Geometry geometry);
bool wins_weight_gradient(const at::Tensor& x, const at::Tensor& weight, Geometry geometry);

// The convolution and activation of `x` in bfloat16 with weights and bias of 32 bits.
at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& bias, Geometry geometry,
                   Bounds bounds);

// Whether `input_gradient` takes this geometry.
bool takes_input_gradient(const at::Tensor& weight, Geometry geometry);

// The gradient of `x`, `[batch, in, height, width]`, from that of the output.
at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight, Geometry geometry, int64_t height,
                          int64_t width);

// The gradient of the weights in 32 bits, `[out, in, kernel, kernel]` with the channels last.
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry);

}  // namespace tiled
}  // namespace ferrite
