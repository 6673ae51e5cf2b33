#include "transforms.h"

#include "tiles.h"
#include "vectors.h"

#ifdef FERRITE_VECTORS

FERRITE_BEGIN_VECTORS

namespace ferrite::transforms {
namespace {

using Window = __m512[kSide][kSide];

void of_window(const uint16_t* const* from, int64_t channels, uint16_t* to, int64_t step) {
  for (int64_t at = 0; at < tiles::rounded_up(channels); at += 16) {
    const auto mask = static_cast<__mmask16>(first(channels - at));
    Window half;
    for (int64_t column = 0; column < kSide; ++column) {
      __m512 seen[kSide];
      for (int64_t row = 0; row < kSide; ++row) {
        const __m256i values = _mm256_maskz_loadu_epi16(mask, from[row * kSide + column] + at);
        seen[row] = (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16);
      }
      half[0][column] = _mm512_sub_ps(seen[0], seen[2]);
      half[1][column] = _mm512_add_ps(seen[1], seen[2]);
      half[2][column] = _mm512_sub_ps(seen[2], seen[1]);
      half[3][column] = _mm512_sub_ps(seen[1], seen[3]);
    }
    for (int64_t row = 0; row < kSide; ++row) {
      const __m512* it = half[row];
      const __m512 whole[kSide] = {_mm512_sub_ps(it[0], it[2]), _mm512_add_ps(it[1], it[2]),
                                   _mm512_sub_ps(it[2], it[1]), _mm512_sub_ps(it[1], it[3])};
      for (int64_t column = 0; column < kSide; ++column) {
        const auto place = reinterpret_cast<__m256i*>(to + (row * kSide + column) * step + at);
        _mm256_store_si256(place, (__m256i)_mm512_cvtneps_pbh(whole[column]));
      }
    }
  }
}

void of_kernels(const float* from, int64_t stride, int64_t count, float* to, int64_t step) {
  const __m512 half_of = _mm512_set1_ps(0.5f);
  // One dimension: three values become four.
  const auto along = [half_of](__m512 a, __m512 b, __m512 c, __m512(&out)[kSide]) {
    const __m512 ends = _mm512_add_ps(a, c);
    out[0] = a;
    out[1] = _mm512_mul_ps(half_of, _mm512_add_ps(ends, b));
    out[2] = _mm512_mul_ps(half_of, _mm512_sub_ps(ends, b));
    out[3] = c;
  };
  for (int64_t at = 0; at < count; at += 16) {
    const auto mask = static_cast<__mmask16>(first(count - at));
    __m512 values[9];
    for (int64_t tap = 0; tap < 9; ++tap) {
      values[tap] = _mm512_maskz_loadu_ps(mask, from + tap * stride + at);
    }
    Window columns;
    for (int64_t column = 0; column < 3; ++column) {
      along(values[column], values[3 + column], values[6 + column], columns[column]);
    }
    for (int64_t row = 0; row < kSide; ++row) {
      __m512 whole[kSide];
      along(columns[0][row], columns[1][row], columns[2][row], whole);
      for (int64_t column = 0; column < kSide; ++column) {
        _mm512_store_ps(to + (row * kSide + column) * step + at, whole[column]);
      }
    }
  }
}

void of_sums(const float* sums, int64_t step, const float* shift, float low, float high, int64_t count,
             uint16_t* const* to) {
  const __m512 lowest = _mm512_set1_ps(low), highest = _mm512_set1_ps(high);
  for (int64_t at = 0; at < count; at += 16) {
    const auto mask = static_cast<__mmask16>(first(count - at));
    const __m512 behind = shift ? _mm512_maskz_loadu_ps(mask, shift + at) : _mm512_setzero_ps();
    __m512 half[kOut][kSide];
    for (int64_t column = 0; column < kSide; ++column) {
      __m512 of[kSide];
      for (int64_t row = 0; row < kSide; ++row) {
        of[row] = _mm512_loadu_ps(sums + (row * kSide + column) * step + at);
      }
      half[0][column] = _mm512_add_ps(_mm512_add_ps(of[0], of[1]), of[2]);
      half[1][column] = _mm512_sub_ps(_mm512_sub_ps(of[1], of[2]), of[3]);
    }
    for (int64_t row = 0; row < kOut; ++row) {
      const __m512* it = half[row];
      const __m512 out[kOut] = {_mm512_add_ps(_mm512_add_ps(it[0], it[1]), it[2]),
                                _mm512_sub_ps(_mm512_sub_ps(it[1], it[2]), it[3])};
      for (int64_t column = 0; column < kOut; ++column) {
        if (uint16_t* place = to[row * kOut + column]) {
          // A value that is none comes second, and stays.
          const __m512 bounded = _mm512_min_ps(highest, _mm512_max_ps(lowest, _mm512_add_ps(out[column], behind)));
          _mm256_mask_storeu_epi16(place + at, mask, (__m256i)_mm512_cvtneps_pbh(bounded));
        }
      }
    }
  }
}

}  // namespace
}  // namespace ferrite::transforms

FERRITE_END_VECTORS

namespace ferrite::transforms {

const Operations* with_vectors() {
  static const Operations all = {of_window, of_kernels, of_sums};
  return has_vectors() ? &all : nullptr;
}

}  // namespace ferrite::transforms

#else

namespace ferrite::transforms {

const Operations* with_vectors() {
  return nullptr;
}

}  // namespace ferrite::transforms

#endif
