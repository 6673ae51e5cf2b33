// What the native sources share: numbers, bounds and algorithms, and how errors leave them.
#pragma once

#include "bfloat16.h"

#include <torch/csrc/autograd/custom_function.h>

#include <ATen/Parallel.h>

#include <cstdint>
#include <exception>
#include <limits>
#include <optional>

namespace ferrite {

template <typename Value>
const Value* values_of(const at::Tensor& x) {
  return static_cast<const Value*>(x.const_data_ptr());
}

template <typename Value>
Value* changed(const at::Tensor& x) {
  return static_cast<Value*>(x.mutable_data_ptr());
}

// Calls `work` with a value of what `x` holds: 32-bit floats or bfloat16.
template <typename Work>
void for_type_of(const at::Tensor& x, Work work) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return work(float{});
    case at::kBFloat16:
      return work(Bfloat16{});
    default:
      TORCH_CHECK(false, "expected float or bfloat16, found ", x.scalar_type());
  }
}

// A bound that bounds nothing.
constexpr float kEndless = std::numeric_limits<float>::infinity();

// Bounds of an activation: what lies outside becomes the bound and has no gradient. `Bounds` of mod.rs.
struct Bounds {
  float low, high;

  bool bound() const {
    return low > -kEndless || high < kEndless;
  }
};

// How a convolution is computed, and by which algorithm each of its three passes. kernels.rs has the same types, says
// what they mean, and chooses.
enum class Algorithm : uint8_t { kLibTorch, kWindowProduct, kMatrixUnit, kWinograd, kDepthwise };

struct Algorithms {
  Algorithm forward, input_gradient, weight_gradient;
};

// Positions a side of what a window makes of an image; none where it does not fit.
inline int64_t out_side(int64_t side, int64_t kernel, int64_t stride, int64_t padding) {
  return side + 2 * padding < kernel ? 0 : (side + 2 * padding - kernel) / stride + 1;
}

// Where the channels of an activation lie in memory.
constexpr auto kLast = at::MemoryFormat::ChannelsLast;

// Runs `work` and gives its result as a new tensor. No exception may reach Rust: of a failure only its
// message leaves, in `error`, which the caller frees.
template <typename Work>
at::Tensor* caught(char** error, Work work) {
  try {
    return new at::Tensor(work());
  } catch (const std::exception& failure) {
    *error = strdup(failure.what());
  } catch (...) {
    *error = strdup("LibTorch failed and does not say why");
  }
  return nullptr;
}

// What a backward pass needs besides tensors, as one value that the forward pass leaves for it.
template <typename Settings>
struct Kept : torch::CustomClassHolder {
  explicit Kept(Settings settings) : settings(settings) {}
  const Settings settings;
};

template <typename Settings>
void keep(torch::autograd::AutogradContext* context, Settings settings) {
  context->saved_data["settings"] = c10::IValue::make_capsule(c10::make_intrusive<Kept<Settings>>(settings));
}

template <typename Settings>
Settings kept(torch::autograd::AutogradContext* context) {
  const auto holder = context->saved_data.at("settings").toCapsule();
  return static_cast<const Kept<Settings>&>(*holder).settings;
}

using MaybeTensor = std::optional<at::Tensor>;

inline MaybeTensor maybe(const at::Tensor* tensor) {
  return tensor ? MaybeTensor(*tensor) : std::nullopt;
}

}  // namespace ferrite
