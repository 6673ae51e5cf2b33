#include "activation.h"

#include <ATen/ops/empty.h>

namespace ferrite {
namespace {

template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void pass_on(Value* __restrict gradient, const Value* __restrict out, int64_t positions,
                                        int64_t channels, Bounds bounds, float* __restrict sums) {
  for (int64_t position = 0; position < positions; ++position, gradient += channels, out += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float value = widen(out[i]);
      const Value goes = (value <= bounds.low) | (value >= bounds.high) ? Value{} : gradient[i];
      gradient[i] = goes;
      sums[i] += widen(goes);
    }
  }
}

}  // namespace

at::Tensor pass_through_activation(const at::Tensor& gradient, const at::Tensor& out, Bounds bounds) {
  const Shape shape = shape_of(gradient);
  const int64_t channels = shape.channels;
  std::vector<double> sums;
  for_type_of(gradient, [&](auto value) {
    using Value = decltype(value);
    Value* changes = changed<Value>(gradient);
    const Value* seen = values_of<Value>(out);
    sums = sum_up(shape, 1, [&](int64_t from, int64_t positions, float* block) {
      pass_on(changes + from * channels, seen + from * channels, positions, channels, bounds, block);
    });
  });
  const at::Tensor rounded = at::empty({channels}, gradient.options().dtype(at::kFloat));
  std::transform(sums.begin(), sums.end(), changed<float>(rounded), [](double it) { return static_cast<float>(it); });
  return rounded;
}

}  // namespace ferrite
