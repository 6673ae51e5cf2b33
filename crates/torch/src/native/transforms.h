// The transforms around the products of Winograd's convolution of 3x3 windows (winograd.h).
//
// Two by two output values are seen by a window of four by four, and become sixteen products of transformed values in
// place of 36 of the values themselves: F(2x2, 3x3) of Lavin & Gray 2015, https://arxiv.org/abs/1509.09308.
#pragma once

#include <cstdint>

namespace ferrite::transforms {

// Output values a side of a window, and how many values it sees and is transformed to.
constexpr int64_t kOut = 2;
constexpr int64_t kSide = 4;
constexpr int64_t kProducts = kSide * kSide;

// The transforms for one kind of processor.
struct Operations {
  // Transforms the windows of `channels` channels, of which `from` points to the sixteen positions, row by row. Product
  // `i`'s values go to `to + i * step`, with 0 behind them up to the next multiple of 32.
  void (*of_window)(const uint16_t* const* from, int64_t channels, uint16_t* to, int64_t step);

  // Transforms `count` kernels, whose nine values are `stride` apart; it is negative for kernels that are turned
  // around. Product `i`'s values go to `to + i * step`, with 0 behind them up to the next multiple of 16.
  void (*of_kernels)(const float* from, int64_t stride, int64_t count, float* to, int64_t step);

  // min(max(sums transformed + shift, low), high) in bfloat16, for `count` columns.
  //
  // Product `i`'s sums are at `sums + i * step`. `shift`, one for each column, may be null. The four output positions
  // are `to`, row by row, of which a null one is left out.
  void (*of_sums)(const float* sums, int64_t step, const float* shift, float low, float high, int64_t count,
                  uint16_t* const* to);
};

// The transforms that every processor can do.
extern const Operations kPortable;

// Those of AVX512-BF16; null where this processor has no such vectors.
const Operations* with_vectors();

// The fastest ones of this processor.
inline const Operations& operations() {
  static const Operations& fastest = with_vectors() ? *with_vectors() : kPortable;
  return fastest;
}

}  // namespace ferrite::transforms
