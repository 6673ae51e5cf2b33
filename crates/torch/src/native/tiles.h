// Products of bfloat16 matrices on the matrix unit of newer Intel processors (AMX: Intel 64 and IA-32 architectures
// optimization manual, chapter 20). Where there is no such unit, the same is computed without it, many times as slowly,
// so that what is built on these products can be tested anywhere.
//
// The unit multiplies tiles: 16 rows of 32 values of the left matrix with 16 rows of 16 pairs of the right one, where
// a pair has the values of two rows that stand one below the other. It adds up in 32 bits. Tiles are read fast only
// from whole cache lines, so matrices are packed into memory that begins at one.
#pragma once

#include <cstdint>

namespace ferrite::tiles {

// Rows and columns of a product that belong together, and how many values of a row are multiplied at once.
constexpr int64_t kBlock = 32;

// Values of a packed tile: 16 rows of 16 pairs. A packed matrix has one behind the other those of its first sixteen
// columns, then those of the next.
constexpr int64_t kTile = 512;

// A row of a left matrix begins so many values behind the end of the one before: rows that lie a power of two apart
// would push each other out of the cache.
constexpr int64_t kGap = 32;

// How many pieces of `size` hold `count`.
inline int64_t pieces(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

inline int64_t rounded_up(int64_t count, int64_t step = kBlock) {
  return pieces(count, step) * step;
}

// A left matrix of up to 32 rows, `stride` apart. Each 32 values of a row begin at one of `steps` from the row's begin
// on, or one behind the other where `steps` is null. Up to 16 rows take half the time.
struct Left {
  const uint16_t* values;
  int64_t stride;
  const int64_t* steps;
  int64_t rows;

  int64_t at(int64_t step) const {
    return steps ? steps[step] : step * kBlock;
  }
};

// A packed right matrix, of multiples of 32 rows and columns.
struct Right {
  const uint16_t* packed;
  int64_t depth, columns;
};

// What sums begin with: 0, or what they are.
enum class Start : char { kZero, kSums };

// The operations on tiles for one kind of processor.
struct Operations {
  // Holds the calling thread's unit ready, and lets it go.
  void (*begin)();
  void (*end)();

  // sums = left * right, or sums += left * right: rows of `right.columns` values. Of 32 rows those that `left` does not
  // have may be written as well.
  void (*product)(const Left& left, const Right& right, float* sums, Start start);

  // The next three pack sixteen columns of a right matrix of `depth` rows. What is beyond `columns`, which may be
  // fewer, and beyond `depth` is 0 up to the next multiple of 32.

  // Column `n` is the row `from + n * stride`.
  void (*pack_columns)(const float* from, int64_t stride, int64_t depth, int64_t columns, uint16_t* packed);

  // Row `k` is `from + k * stride`.
  void (*pack_rows)(const float* from, int64_t stride, int64_t depth, int64_t columns, uint16_t* packed);

  // Row `k` is `rows[k] + first`, or 0 where `rows[k]` is null.
  void (*pack_scattered)(const uint16_t* const* rows, int64_t first, int64_t depth, int64_t columns, uint16_t* packed);

  // Writes the transposed of `count` rows of `columns` values of bfloat16, `stride` apart, as rows that are
  // `packed_stride` apart. What is beyond `count` is 0 up to the next multiple of 32.
  void (*transpose)(const uint16_t* from, int64_t stride, int64_t count, int64_t columns, uint16_t* packed,
                    int64_t packed_stride);

  // Copies `count` values from each of `places` places `from + steps[i]`, one behind the other, each with 0 behind it
  // up to the next multiple of 32.
  void (*copy_rows)(const uint16_t* from, const int64_t* steps, int64_t places, int64_t count, uint16_t* to);

  // Writes as much of 0.
  void (*clear_row)(int64_t count, uint16_t* to);

  // to = min(max(sums + shift, low), high) in bfloat16, for `rows` rows of `count` values. `shift`, one for each
  // column, may be null.
  void (*finish)(const float* sums, int64_t sums_stride, const float* shift, float low, float high, int64_t rows,
                 int64_t count, uint16_t* to, int64_t stride);

  // to = sums.
  void (*keep_row)(const float* sums, int64_t count, float* to);
};

// The operations that every processor can do.
extern const Operations kPortable;

// Those of AVX512-BF16, whose products are the matrix unit's where there is one; null where this processor has no such
// vectors.
const Operations* with_vectors();

// The fastest ones of this processor.
inline const Operations& operations() {
  static const Operations& fastest = with_vectors() ? *with_vectors() : kPortable;
  return fastest;
}

// The calling thread's matrix unit, ready for products.
class Unit {
 public:
  Unit() {
    operations().begin();
  }
  ~Unit() {
    operations().end();
  }
  Unit(const Unit&) = delete;
  Unit& operator=(const Unit&) = delete;

  void product(const Left& left, const Right& right, float* sums, Start start) const {
    operations().product(left, right, sums, start);
  }
};

}  // namespace ferrite::tiles
