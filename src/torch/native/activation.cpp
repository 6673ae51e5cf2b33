#include "activation.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

namespace ferrite {
namespace {

template <typename Value>
FERRITE_INLINE void pass(const Value* __restrict gradient, const Value* __restrict out, int64_t positions, int64_t channels,
                         Bounds bounds, float* __restrict sums, Value* __restrict passed) {
  for (int64_t position = 0; position < positions;
       ++position, gradient += channels, out += channels, passed += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float value = widen(out[i]);
      const Value goes = (value <= bounds.low) | (value >= bounds.high) ? Value{} : gradient[i];
      passed[i] = goes;
      sums[i] += widen(goes);
    }
  }
}

FERRITE_FOR_ALL_PROCESSORS
void pass_on(const float* gradient, const float* out, int64_t positions, int64_t channels, Bounds bounds, float* sums,
             float* passed) {
  pass(gradient, out, positions, channels, bounds, sums, passed);
}

FERRITE_FOR_ALL_PROCESSORS
void pass_on(const Bfloat16* gradient, const Bfloat16* out, int64_t positions, int64_t channels, Bounds bounds, float* sums,
             Bfloat16* passed) {
  pass(gradient, out, positions, channels, bounds, sums, passed);
}

}  // namespace

Passed through_activation(const at::Tensor& gradient, const at::Tensor& out, Bounds bounds) {
  const Shape shape = shape_of(gradient);
  const int64_t channels = shape.channels;
  const at::Tensor passed = at::empty_like(gradient, gradient.options(), kLast);
  std::vector<double> sums;
  for_type_of(gradient, [&](auto value) {
    using Value = decltype(value);
    sums = sum_up(shape, 1, [&](int64_t from, int64_t positions, float* block) {
      const int64_t at = from * channels;
      pass_on(values_of<Value>(gradient) + at, values_of<Value>(out) + at, positions, channels, bounds, block,
              changed<Value>(passed) + at);
    });
  });
  const at::Tensor rounded = at::empty({channels}, gradient.options().dtype(at::kFloat));
  std::transform(sums.begin(), sums.end(), changed<float>(rounded), [](double it) { return static_cast<float>(it); });
  return {passed, rounded};
}

}  // namespace ferrite
