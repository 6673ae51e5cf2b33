// The operations of tiles.h and transforms.h as any processor can do them: for tests of what is built on them where
// there is no matrix unit, and as what the others are compared with.

#include "bfloat16.h"
#include "tiles.h"
#include "transforms.h"

#include <algorithm>

namespace ferrite {
namespace {

using tiles::kBlock;
using tiles::kTile;
using tiles::rounded_up;

float wide(uint16_t bits) {
  return widen(static_cast<Bfloat16>(bits));
}

uint16_t narrowed(float value) {
  Bfloat16 bits;
  narrow(value, bits);
  return static_cast<uint16_t>(bits);
}

// What is not a number stays so.
float bounded(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

// Where row `k` of column `n` of sixteen packed columns lies.
int64_t place(int64_t k, int64_t n) {
  return k / kBlock * kTile + k % kBlock / 2 * 32 + 2 * n + k % 2;
}

// Packs sixteen columns, whose values in bfloat16 are `value(k, n)`.
template <typename Value>
void pack(int64_t depth, int64_t columns, uint16_t* packed, Value value) {
  for (int64_t k = 0; k < rounded_up(depth); ++k) {
    for (int64_t n = 0; n < 16; ++n) {
      packed[place(k, n)] = k < depth && n < columns ? value(k, n) : 0;
    }
  }
}

}  // namespace

namespace tiles {
namespace {

void begin() {}

void end() {}

void product(const Left& left, const Right& right, float* sums, Start start) {
  for (int64_t row = 0; row < left.rows; ++row) {
    for (int64_t column = 0; column < right.columns; column += 16) {
      const uint16_t *values = left.values + row * left.stride, *packed = right.packed + column * right.depth;
      float* to = sums + row * right.columns + column;
      if (start == Start::kZero) {
        std::fill_n(to, 16, 0.0f);
      }
      for (int64_t k = 0; k < right.depth; ++k) {
        const float value = wide(values[left.at(k / kBlock) + k % kBlock]);
        for (int64_t n = 0; n < 16; ++n) {
          to[n] += value * wide(packed[place(k, n)]);
        }
      }
    }
  }
}

void pack_columns(const float* from, int64_t stride, int64_t depth, int64_t columns, uint16_t* packed) {
  pack(depth, columns, packed, [&](int64_t k, int64_t n) { return narrowed(from[n * stride + k]); });
}

void pack_rows(const float* from, int64_t stride, int64_t depth, int64_t columns, uint16_t* packed) {
  pack(depth, columns, packed, [&](int64_t k, int64_t n) { return narrowed(from[k * stride + n]); });
}

void pack_scattered(const uint16_t* const* rows, int64_t first, int64_t depth, int64_t columns, uint16_t* packed) {
  pack(depth, columns, packed, [&](int64_t k, int64_t n) { return rows[k] ? rows[k][first + n] : uint16_t{0}; });
}

void transpose(const uint16_t* from, int64_t stride, int64_t count, int64_t columns, uint16_t* packed,
               int64_t packed_stride) {
  for (int64_t column = 0; column < columns; ++column) {
    for (int64_t k = 0; k < rounded_up(count); ++k) {
      packed[column * packed_stride + k] = k < count ? from[k * stride + column] : 0;
    }
  }
}

void copy_rows(const uint16_t* from, const int64_t* steps, int64_t places, int64_t count, uint16_t* to) {
  for (int64_t index = 0; index < places; ++index, to += rounded_up(count)) {
    std::copy_n(from + steps[index], count, to);
    std::fill(to + count, to + rounded_up(count), uint16_t{0});
  }
}

void clear_row(int64_t count, uint16_t* to) {
  std::fill_n(to, rounded_up(count), uint16_t{0});
}

void finish(const float* sums, int64_t sums_stride, const float* shift, float low, float high, int64_t rows,
            int64_t count, uint16_t* to, int64_t stride) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t at = 0; at < count; ++at) {
      const float sum = sums[row * sums_stride + at];
      to[row * stride + at] = narrowed(bounded(shift ? sum + shift[at] : sum, low, high));
    }
  }
}

void keep_row(const float* sums, int64_t count, float* to) {
  std::copy_n(sums, count, to);
}

}  // namespace

const Operations kPortable = {begin,     end,       product,   pack_columns, pack_rows, pack_scattered,
                              transpose, copy_rows, clear_row, finish,       keep_row};

}  // namespace tiles

namespace transforms {
namespace {

// Four values in a row of a window become four.
void seen(const float (&in)[kSide], float (&out)[kSide]) {
  out[0] = in[0] - in[2];
  out[1] = in[1] + in[2];
  out[2] = in[2] - in[1];
  out[3] = in[1] - in[3];
}

// Three values in a row of a kernel become four.
void learned(const float (&in)[3], float (&out)[kSide]) {
  const float ends = in[0] + in[2];
  out[0] = in[0];
  out[1] = 0.5f * (ends + in[1]);
  out[2] = 0.5f * (ends - in[1]);
  out[3] = in[2];
}

// Four sums in a row become two.
void summed(const float (&in)[kSide], float (&out)[kOut]) {
  out[0] = in[0] + in[1] + in[2];
  out[1] = in[1] - in[2] - in[3];
}

// Transforms the columns of a square, and then its rows.
template <int64_t kFrom, int64_t kTo, typename Transform>
void both_ways(const float (&in)[kFrom][kFrom], float (&out)[kTo][kTo], Transform transform) {
  float half[kTo][kFrom];
  for (int64_t column = 0; column < kFrom; ++column) {
    float before[kFrom], behind[kTo];
    for (int64_t row = 0; row < kFrom; ++row) {
      before[row] = in[row][column];
    }
    transform(before, behind);
    for (int64_t row = 0; row < kTo; ++row) {
      half[row][column] = behind[row];
    }
  }
  for (int64_t row = 0; row < kTo; ++row) {
    transform(half[row], out[row]);
  }
}

void of_window(const uint16_t* const* from, int64_t channels, uint16_t* to, int64_t step) {
  for (int64_t at = 0; at < rounded_up(channels); ++at) {
    float in[kSide][kSide], out[kSide][kSide];
    for (int64_t index = 0; index < kProducts; ++index) {
      in[index / kSide][index % kSide] = at < channels ? wide(from[index][at]) : 0.0f;
    }
    both_ways(in, out, seen);
    for (int64_t index = 0; index < kProducts; ++index) {
      to[index * step + at] = narrowed(out[index / kSide][index % kSide]);
    }
  }
}

void of_kernels(const float* from, int64_t stride, int64_t count, float* to, int64_t step) {
  for (int64_t at = 0; at < rounded_up(count, 16); ++at) {
    float in[3][3], out[kSide][kSide];
    for (int64_t tap = 0; tap < 9; ++tap) {
      in[tap / 3][tap % 3] = at < count ? from[tap * stride + at] : 0.0f;
    }
    both_ways(in, out, learned);
    for (int64_t index = 0; index < kProducts; ++index) {
      to[index * step + at] = out[index / kSide][index % kSide];
    }
  }
}

void of_sums(const float* sums, int64_t step, const float* shift, float low, float high, int64_t count,
             uint16_t* const* to) {
  for (int64_t at = 0; at < count; ++at) {
    float in[kSide][kSide], out[kOut][kOut];
    for (int64_t index = 0; index < kProducts; ++index) {
      in[index / kSide][index % kSide] = sums[index * step + at];
    }
    both_ways(in, out, summed);
    for (int64_t index = 0; index < kOut * kOut; ++index) {
      if (to[index]) {
        const float sum = out[index / kOut][index % kOut] + (shift ? shift[at] : 0.0f);
        to[index][at] = narrowed(bounded(sum, low, high));
      }
    }
  }
}

}  // namespace

const Operations kPortable = {of_window, of_kernels, of_sums};

}  // namespace transforms
}  // namespace ferrite
