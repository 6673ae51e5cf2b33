// What the convolutions on the matrix unit share: memory for it, and images and weights as they read them.
#pragma once

#include "shared.h"
#include "tiles.h"

#include <ATen/ops/empty.h>

#include <cstdlib>
#include <memory>

namespace ferrite {

// Memory that begins at a cache line.
template <typename Value>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : values_(static_cast<Value*>(std::aligned_alloc(64, tiles::rounded_up(count * sizeof(Value), 64))), std::free) {
    TORCH_CHECK(values_, "out of memory: ", count * sizeof(Value), " bytes");
  }
  Value* operator+(int64_t offset) const {
    return values_.get() + offset;
  }

 private:
  std::unique_ptr<Value, void (*)(void*)> values_;
};

// Images with the channels last.
struct Images {
  const uint16_t* values;
  int64_t count, height, width, channels;

  explicit Images(const at::Tensor& x)
      : values(values_of<uint16_t>(x)), count(x.size(0)), height(x.size(2)), width(x.size(3)), channels(x.size(1)) {}
};

// Such images, to be written.
inline at::Tensor images_like(const at::Tensor& x, int64_t channels, int64_t height, int64_t width) {
  return at::empty({x.size(0), channels, height, width}, x.options().memory_format(kLast));
}

// A weight as `[out, kernel, kernel, in]` in one piece.
inline at::Tensor kernels_of(const at::Tensor& weight) {
  return weight.detach().permute({0, 2, 3, 1}).contiguous();
}

}  // namespace ferrite
