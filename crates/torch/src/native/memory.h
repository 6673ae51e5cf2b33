// What the convolutions on the matrix unit share: memory for it, and images and weights as they read them.
#pragma once

#include "shared.h"
#include "tiles.h"

#include <ATen/ops/empty.h>

#include <algorithm>
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

// Right matrices (tiles.h) of the same columns, which have `depth` rows together: the columns in strips, and the
// matrices of each strip one behind the other.
class Strips {
 public:
  const int64_t columns, strip, depth;

  Strips(int64_t columns, int64_t strip, int64_t depth)
      : columns(columns), strip(strip), depth(depth), values_(tiles::rounded_up(columns) * depth) {}

  int64_t strips() const {
    return tiles::pieces(columns, strip);
  }

  // Columns of a strip, in whole blocks.
  int64_t width(int64_t place) const {
    return std::min(strip, tiles::rounded_up(columns) - place * strip);
  }

  // A strip's matrix that has `before` rows before it.
  const uint16_t* at(int64_t place, int64_t before) const {
    return values_ + (place * strip * depth + width(place) * before);
  }

  // Where the sixteen columns from `column` on of such a matrix of `rows` rows are to be packed.
  uint16_t* place_of(int64_t column, int64_t before, int64_t rows) const {
    const int64_t place = column / strip;
    return values_ + (place * strip * depth + width(place) * before + column % strip * rows);
  }

 private:
  const Scratch<uint16_t> values_;
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
