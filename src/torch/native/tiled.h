// The three passes of a convolution of bfloat16 as products on the matrix unit (tiles.h).
#pragma once

#include "shared.h"

namespace ferrite {

struct Geometry {
  int64_t stride, padding, groups;
};

namespace tiled {

// Whether the unit is here and can take a convolution of `x` with these weights, `[out, in, kernel, kernel]`.
bool takes(const at::Tensor& x, const at::Tensor& weight, Geometry geometry);

// Whether `forward` and `input_gradient` are faster than oneDNN for this many positions of an output image, and whether
// `weight_gradient` is.
bool wins(const at::Tensor& weight, int64_t positions);
bool wins_weight_gradient(const at::Tensor& weight, int64_t positions);

// min(max(convolution + bias, low), high) of `x` in bfloat16 with weights and bias of 32 bits.
at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& bias, Geometry geometry,
                   double low, double high);

// Whether `input_gradient` takes this geometry.
bool takes_input_gradient(const at::Tensor& weight, Geometry geometry);

// The gradient of `x`, `[batch, in, height, width]`, from that of the output.
at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight, Geometry geometry, int64_t height,
                          int64_t width);

// The gradient of the weights in 32 bits, `[out, in, kernel, kernel]` with the channels last.
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry);

}  // namespace tiled
}  // namespace ferrite
