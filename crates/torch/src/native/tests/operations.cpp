// The operations on tiles by vectors and on the matrix unit against those that any processor can do, on random numbers
// of many sizes. It needs no LibTorch, so that it runs by itself wherever such a processor is: `make sanitize`.

#include "bfloat16.h"
#include "tiles.h"
#include "transforms.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

using ferrite::Bfloat16;
using ferrite::tiles::kBlock;
using ferrite::tiles::kPortable;
using ferrite::tiles::kTile;
using ferrite::tiles::rounded_up;

std::mt19937 generator{7};

// Memory that begins at a cache line and ends with the last value, so that a step beyond it is seen.
template <typename Value>
class Lines {
 public:
  explicit Lines(int64_t count)
      : count_(count), values_(static_cast<Value*>(std::aligned_alloc(64, rounded_up(count * sizeof(Value), 64)))) {
    std::fill_n(values_, count, Value{});
  }
  ~Lines() {
    std::free(values_);
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  Value* get() const {
    return values_;
  }
  bool equals(const Lines& other) const {
    return std::equal(values_, values_ + count_, other.values_);
  }

 private:
  const int64_t count_;
  Value* const values_;
};

std::vector<float> floats(int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& it : values) {
    it = normal(generator);
  }
  return values;
}

std::vector<uint16_t> rounded(int64_t count) {
  std::vector<uint16_t> values;
  for (const float it : floats(count)) {
    Bfloat16 bits;
    ferrite::narrow(it, bits);
    values.push_back(static_cast<uint16_t>(bits));
  }
  return values;
}

void demand(bool holds, const char* what, int64_t a, int64_t b) {
  if (!holds) {
    std::fprintf(stderr, "%s differs for %ld and %ld\n", what, static_cast<long>(a), static_cast<long>(b));
    std::exit(1);
  }
}

using Tiles = ferrite::tiles::Operations;

void check_packing(const Tiles& own, int64_t depth, int64_t columns) {
  const int64_t size = rounded_up(depth) * 16;
  const auto check = [&](const char* what, auto pack) {
    const Lines<uint16_t> ours(size), theirs(size);
    pack(own, ours.get());
    pack(kPortable, theirs.get());
    demand(ours.equals(theirs), what, depth, columns);
  };
  const int64_t there = std::min<int64_t>(columns, 16);
  const auto values = floats(there * depth);
  check("pack_columns",
        [&](const Tiles& it, uint16_t* to) { it.pack_columns(values.data(), depth, depth, columns, to); });
  check("pack_rows", [&](const Tiles& it, uint16_t* to) { it.pack_rows(values.data(), there, depth, columns, to); });
  const auto bits = rounded(there * depth);
  std::vector<const uint16_t*> rows;
  for (int64_t k = 0; k < depth; ++k) {
    rows.push_back(k % 5 == 3 ? nullptr : bits.data() + k * there);
  }
  check("pack_scattered",
        [&](const Tiles& it, uint16_t* to) { it.pack_scattered(rows.data(), 0, depth, columns, to); });
}

void check_rows(const Tiles& own, int64_t count, int64_t columns) {
  const auto bits = rounded(count * columns);
  const int64_t stride = rounded_up(count);
  const Lines<uint16_t> ours(columns * stride), theirs(columns * stride);
  own.transpose(bits.data(), columns, count, columns, ours.get(), stride);
  kPortable.transpose(bits.data(), columns, count, columns, theirs.get(), stride);
  demand(ours.equals(theirs), "transpose", count, columns);

  const std::vector<int64_t> steps{0, (count - 1) * columns, count / 2 * columns};
  const Lines<uint16_t> copied(3 * rounded_up(columns)), expected(3 * rounded_up(columns));
  own.copy_rows(bits.data(), steps.data(), 3, columns, copied.get());
  kPortable.copy_rows(bits.data(), steps.data(), 3, columns, expected.get());
  demand(copied.equals(expected), "copy_rows", count, columns);
  own.clear_row(columns, copied.get());
  kPortable.clear_row(columns, expected.get());
  demand(copied.equals(expected), "clear_row", count, columns);

  const int64_t width = rounded_up(columns);
  const auto sums = floats(count * width), shift = floats(columns);
  for (const float* behind : {static_cast<const float*>(nullptr), shift.data()}) {
    const Lines<uint16_t> finished(count * columns), wanted(count * columns);
    own.finish(sums.data(), width, behind, 0.0f, 1.0f, count, columns, finished.get(), columns);
    kPortable.finish(sums.data(), width, behind, 0.0f, 1.0f, count, columns, wanted.get(), columns);
    demand(finished.equals(wanted), "finish", count, columns);
  }
  const Lines<float> kept(columns), same(columns);
  own.keep_row(sums.data(), columns, kept.get());
  kPortable.keep_row(sums.data(), columns, same.get());
  demand(kept.equals(same), "keep_row", count, columns);
}

void check_products(const Tiles& own, int64_t rows, int64_t depth, int64_t columns) {
  const int64_t stride = depth + ferrite::tiles::kGap;
  const Lines<uint16_t> left(kBlock * stride), right(depth * columns);
  const auto a = rounded(kBlock * stride), b = rounded(depth * columns);
  std::copy(a.begin(), a.end(), left.get());
  std::copy(b.begin(), b.end(), right.get());
  std::vector<int64_t> steps;
  for (int64_t step = depth / kBlock; step-- > 0;) {
    steps.push_back(step * kBlock);
  }
  for (const int64_t* at : {static_cast<const int64_t*>(nullptr), static_cast<const int64_t*>(steps.data())}) {
    const Lines<float> ours(kBlock * columns), theirs(kBlock * columns);
    for (const auto start : {ferrite::tiles::Start::kZero, ferrite::tiles::Start::kSums}) {
      own.begin();
      own.product({left.get(), stride, at, rows}, {right.get(), depth, columns}, ours.get(), start);
      own.end();
      kPortable.product({left.get(), stride, at, rows}, {right.get(), depth, columns}, theirs.get(), start);
    }
    for (int64_t i = 0; i < rows * columns; ++i) {
      const float error = std::abs(ours.get()[i] - theirs.get()[i]);
      demand(error <= 1e-5f * static_cast<float>(depth), "product", rows, depth);
    }
  }
}

void check_transforms(const ferrite::transforms::Operations& own, int64_t channels) {
  using namespace ferrite::transforms;
  const ferrite::transforms::Operations& any = ferrite::transforms::kPortable;
  const int64_t deep = rounded_up(channels), step = deep + ferrite::tiles::kGap;
  const auto bits = rounded(kProducts * channels);
  const uint16_t* places[kProducts];
  for (int64_t i = 0; i < kProducts; ++i) {
    places[i] = bits.data() + i * channels;
  }
  const Lines<uint16_t> ours(kProducts * step), theirs(kProducts * step);
  own.of_window(places, channels, ours.get(), step);
  any.of_window(places, channels, theirs.get(), step);
  demand(ours.equals(theirs), "of_window", channels, step);

  const auto values = floats(9 * channels);
  const Lines<float> learned(kProducts * step), expected(kProducts * step);
  own.of_kernels(values.data() + 8 * channels, -channels, channels, learned.get(), step);
  any.of_kernels(values.data() + 8 * channels, -channels, channels, expected.get(), step);
  demand(learned.equals(expected), "of_kernels", channels, step);

  const auto sums = floats(kProducts * step), shift = floats(channels);
  const Lines<uint16_t> out(4 * channels), wanted(4 * channels);
  const auto to = [&](const Lines<uint16_t>& it, uint16_t*(&to)[4]) {
    for (int64_t i = 0; i < 4; ++i) {
      to[i] = i == 2 ? nullptr : it.get() + i * channels;
    }
  };
  uint16_t *to_ours[4], *to_theirs[4];
  to(out, to_ours);
  to(wanted, to_theirs);
  own.of_sums(sums.data(), step, shift.data(), -1.0f, 2.0f, channels, to_ours);
  any.of_sums(sums.data(), step, shift.data(), -1.0f, 2.0f, channels, to_theirs);
  demand(out.equals(wanted), "of_sums", channels, step);
}

}  // namespace

int main() {
  const Tiles* own = ferrite::tiles::with_vectors();
  if (!own) {
    std::puts("skipped: no AVX512-BF16");
    return 0;
  }
  if (own->product == kPortable.product) {
    std::puts("products skipped: no AMX");
  }
  for (const int64_t a : {1, 2, 15, 16, 17, 31, 32, 33, 64, 100}) {
    for (const int64_t b : {1, 7, 16, 17, 32, 40, 96}) {
      check_packing(*own, a, b);
      check_rows(*own, a, b);
      check_products(*own, std::min<int64_t>(a, kBlock), rounded_up(a), rounded_up(b));
    }
    check_transforms(*ferrite::transforms::with_vectors(), a);
  }
  std::puts("operations by vectors are those that any processor can do");
}
