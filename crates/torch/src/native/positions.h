// Loops over the positions of activations, each with its channels behind one another, and sums over all of them.
#pragma once

#include "shared.h"

#include <algorithm>
#include <vector>

namespace ferrite {

// Values that a thread gets at least; fewer are not worth waking it up.
constexpr int64_t kGrain = 1 << 15;

// Positions that are summed in 32 bits.
constexpr int64_t kSummed = 64;

// Values that fill a processor's vectors for some loops.
constexpr int64_t kWide = 64;

// Positions, each of `channels` values.
struct Shape {
  int64_t positions, channels;

  int64_t grain() const {
    return std::max<int64_t>(kSummed, kGrain / channels);
  }

  // The same values with several positions of few channels as one: a loop over three channels fills no vector.
  Shape widened() const {
    Shape wide = *this;
    while (2 * wide.channels <= kWide && wide.positions % 2 == 0) {
      wide = {wide.positions / 2, 2 * wide.channels};
    }
    return wide;
  }
};

inline Shape shape_of(const at::Tensor& x) {
  return {x.numel() / x.size(1), x.size(1)};
}

// `each` sums per channel over all positions, one behind the other: `add(first, count, sums)` adds a block of positions
// in 32 bits.
template <typename Add>
std::vector<double> sum_up(Shape shape, int64_t each, Add add) {
  const int64_t count = each * shape.channels, threads = at::get_num_threads();
  std::vector<double> sums(threads * count, 0.0);
  at::parallel_for(0, shape.positions, shape.grain(), [&](int64_t begin, int64_t end) {
    double* own = sums.data() + at::get_thread_num() * count;
    std::vector<float> block(count);
    for (int64_t from = begin; from < end; from += kSummed) {
      std::fill(block.begin(), block.end(), 0.0f);
      add(from, std::min(end, from + kSummed) - from, block.data());
      for (int64_t i = 0; i < count; ++i) {
        own[i] += block[i];
      }
    }
  });
  for (int64_t thread = 1; thread < threads; ++thread) {
    for (int64_t i = 0; i < count; ++i) {
      sums[i] += sums[thread * count + i];
    }
  }
  sums.resize(count);
  return sums;
}

// Sums of positions that were widened from `channels` channels, per channel.
inline std::vector<double> narrowed(const std::vector<double>& sums, int64_t each, Shape wide, int64_t channels) {
  std::vector<double> narrow(each * channels, 0.0);
  for (int64_t i = 0; i < each * wide.channels; ++i) {
    narrow[i / wide.channels * channels + i % wide.channels % channels] += sums[i];
  }
  return narrow;
}

}  // namespace ferrite
