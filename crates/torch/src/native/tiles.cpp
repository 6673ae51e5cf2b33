#include "tiles.h"

#include "vectors.h"

#ifdef FERRITE_VECTORS

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

FERRITE_BEGIN_VECTORS

namespace ferrite::tiles {
namespace {

// What LDTILECFG reads.
struct alignas(64) Shapes {
  uint8_t palette = 1;
  uint8_t first_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Sixteen pairs of values that stand one below the other.
__m512i paired(__m256i upper, __m256i lower) {
  const __m512i below = _mm512_slli_epi32(_mm512_cvtepu16_epi32(lower), 16);
  return _mm512_or_si512(_mm512_cvtepu16_epi32(upper), below);
}

// The same of two rows in memory, of which a null one is 0.
__m512i pairs(const uint16_t* upper, const uint16_t* lower, __mmask16 mask) {
  const auto row = [mask](const uint16_t* it) {
    return it ? _mm256_maskz_loadu_epi16(mask, it) : _mm256_setzero_si256();
  };
  return paired(row(upper), row(lower));
}

__m256i rounded(__m512 values) {
  return (__m256i)_mm512_cvtneps_pbh(values);
}

// Exchanges rows and columns of 16 by 16 values of 32 bits.
void exchange(__m512i (&rows)[16]) {
  __m512i other[16];
  for (int i = 0; i < 16; i += 2) {
    other[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    other[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(other[i], other[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(other[i], other[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(other[i + 1], other[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(other[i + 1], other[i + 3]);
  }
  for (int i = 0; i < 16; i += 8) {
    for (int j = 0; j < 4; ++j) {
      other[i + j] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0x88);
      other[i + j + 4] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0xdd);
    }
  }
  for (int j = 0; j < 8; ++j) {
    rows[j] = _mm512_shuffle_i32x4(other[j], other[j + 8], 0x88);
    rows[j + 8] = _mm512_shuffle_i32x4(other[j], other[j + 8], 0xdd);
  }
}

// Whether the processor has the matrix unit and the system lets this process use it.
bool has_unit() {
  // AMX-BF16 and AMX-TILE (leaf 7, bits 22 and 24 of EDX).
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) {
    return false;
  }
  // Linux gives a process the tiles when it asks for them (ARCH_REQ_XCOMP_PERM of XTILEDATA).
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

void begin() {
  Shapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.row_bytes[tile] = 64;
    shapes.rows[tile] = 16;
  }
  // GCC's intrinsic does not say that all 64 bytes are read.
  __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
}

void end() {
  __asm__ volatile("tilerelease");
}

// The product of `steps` times 32 values, each of which begin at `at(step)` in a left row.
template <typename At>
void multiply(const Left& left, const Right& right, float* sums, Start start, At at) {
  // The intrinsics do not say that they read memory.
  __asm__ volatile("" : : : "memory");
  const bool add = start == Start::kSums, half = left.rows <= 16;
  const int64_t steps = right.depth / kBlock, left_bytes = 2 * left.stride, sums_bytes = 4 * right.columns;
  for (int64_t column = 0; column < right.columns; column += kBlock) {
    const uint16_t *a = left.values, *b = left.values + 16 * left.stride;
    const uint16_t *c = right.packed + column / 16 * steps * kTile, *d = c + steps * kTile;
    float *upper = sums + column, *lower = upper + 16 * right.columns;
    if (add) {
      _tile_loadd(0, upper, sums_bytes);
      _tile_loadd(1, upper + 16, sums_bytes);
    } else {
      _tile_zero(0);
      _tile_zero(1);
    }
    if (half) {
      for (int64_t step = 0; step < steps; ++step) {
        _tile_loadd(4, a + at(step), left_bytes);
        _tile_loadd(6, c + step * kTile, 64);
        _tile_loadd(7, d + step * kTile, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
      }
    } else {
      if (add) {
        _tile_loadd(2, lower, sums_bytes);
        _tile_loadd(3, lower + 16, sums_bytes);
      } else {
        _tile_zero(2);
        _tile_zero(3);
      }
      for (int64_t step = 0; step < steps; ++step) {
        _tile_loadd(4, a + at(step), left_bytes);
        _tile_loadd(6, c + step * kTile, 64);
        _tile_loadd(7, d + step * kTile, 64);
        _tile_loadd(5, b + at(step), left_bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(2, lower, sums_bytes);
      _tile_stored(3, lower + 16, sums_bytes);
    }
    _tile_stored(0, upper, sums_bytes);
    _tile_stored(1, upper + 16, sums_bytes);
  }
  __asm__ volatile("" : : : "memory");
}

void product(const Left& left, const Right& right, float* sums, Start start) {
  if (const int64_t* steps = left.steps) {
    multiply(left, right, sums, start, [steps](int64_t step) { return steps[step]; });
  } else {
    multiply(left, right, sums, start, [](int64_t step) { return step * kBlock; });
  }
}

void pack_columns(const float* from, int64_t stride, int64_t depth, int64_t columns, uint16_t* packed) {
  for (int64_t k = 0; k < depth; k += kBlock, packed += kTile) {
    const __mmask32 mask = first(depth - k);
    __m512i rows[16];
    for (int64_t n = 0; n < 16; ++n) {
      const float* values = from + n * stride + k;
      const __mmask32 there = n < columns ? mask : 0;
      const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there), values);
      const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> 16), values + 16);
      rows[n] = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    }
    exchange(rows);
    for (int64_t pair = 0; pair < 16; ++pair) {
      _mm512_store_si512(packed + 32 * pair, rows[pair]);
    }
  }
}

void pack_rows(const float* from, int64_t stride, int64_t depth, int64_t columns, uint16_t* packed) {
  const auto mask = static_cast<__mmask16>(first(std::min<int64_t>(columns, 16)));
  for (int64_t k = 0; k < rounded_up(depth); k += 2, packed += 32) {
    const float* values = from + k * stride;
    const __m512 upper = _mm512_maskz_loadu_ps(k < depth ? mask : 0, values);
    const __m512 lower = _mm512_maskz_loadu_ps(k + 1 < depth ? mask : 0, values + stride);
    _mm512_store_si512(packed, paired(rounded(upper), rounded(lower)));
  }
}

void pack_scattered(const uint16_t* const* rows, int64_t first_column, int64_t depth, int64_t columns,
                    uint16_t* packed) {
  const auto mask = static_cast<__mmask16>(first(std::min<int64_t>(columns, 16)));
  for (int64_t k = 0; k < rounded_up(depth); k += 2, packed += 32) {
    const uint16_t* upper = k < depth && rows[k] ? rows[k] + first_column : nullptr;
    const uint16_t* lower = k + 1 < depth && rows[k + 1] ? rows[k + 1] + first_column : nullptr;
    _mm512_store_si512(packed, pairs(upper, lower, mask));
  }
}

void transpose(const uint16_t* from, int64_t stride, int64_t count, int64_t columns, uint16_t* packed,
               int64_t packed_stride) {
  for (int64_t k = 0; k < rounded_up(count); k += kBlock) {
    for (int64_t column = 0; column < columns; column += 16) {
      const auto mask = static_cast<__mmask16>(first(columns - column));
      __m512i values[16];
      for (int64_t pair = 0; pair < 16; ++pair) {
        const int64_t row = k + 2 * pair;
        const uint16_t* upper = from + row * stride + column;
        values[pair] = pairs(row < count ? upper : nullptr, row + 1 < count ? upper + stride : nullptr, mask);
      }
      exchange(values);
      for (int64_t n = 0; n < std::min<int64_t>(16, columns - column); ++n) {
        _mm512_store_si512(packed + (column + n) * packed_stride + k, values[n]);
      }
    }
  }
}

void copy_rows(const uint16_t* from, const int64_t* steps, int64_t places, int64_t count, uint16_t* to) {
  const int64_t whole = count / 32 * 32;
  const __mmask32 rest = first(count - whole);
  for (int64_t place = 0; place < places; ++place) {
    const uint16_t* values = from + steps[place];
    for (int64_t at = 0; at < whole; at += 32, to += 32) {
      _mm512_store_si512(to, _mm512_loadu_si512(values + at));
    }
    if (rest) {
      _mm512_store_si512(to, _mm512_maskz_loadu_epi16(rest, values + whole));
      to += 32;
    }
  }
}

void clear_row(int64_t count, uint16_t* to) {
  for (int64_t at = 0; at < count; at += 32) {
    _mm512_store_si512(to + at, _mm512_setzero_si512());
  }
}

void finish(const float* sums, int64_t sums_stride, const float* shift, float low, float high, int64_t rows,
            int64_t count, uint16_t* to, int64_t stride) {
  const __m512 lowest = _mm512_set1_ps(low), highest = _mm512_set1_ps(high);
  const int64_t whole = count / 32 * 32;
  for (int64_t row = 0; row < rows; ++row, sums += sums_stride, to += stride) {
    const auto bounded = [&](int64_t at, __mmask16 mask) {
      __m512 values = _mm512_loadu_ps(sums + at);
      if (shift) {
        values = _mm512_add_ps(values, _mm512_maskz_loadu_ps(mask, shift + at));
      }
      // A value that is none comes second, and stays.
      return _mm512_min_ps(highest, _mm512_max_ps(lowest, values));
    };
    for (int64_t at = 0; at < whole; at += 32) {
      const __m512 left = bounded(at, 0xffff), right = bounded(at + 16, 0xffff);
      _mm512_storeu_si512(to + at, (__m512i)_mm512_cvtne2ps_pbh(right, left));
    }
    for (int64_t at = whole; at < count; at += 16) {
      const auto mask = static_cast<__mmask16>(first(count - at));
      _mm256_mask_storeu_epi16(to + at, mask, rounded(bounded(at, mask)));
    }
  }
}

void keep_row(const float* sums, int64_t count, float* to) {
  for (int64_t at = 0; at < count; at += 16) {
    _mm512_mask_storeu_ps(to + at, static_cast<__mmask16>(first(count - at)), _mm512_loadu_ps(sums + at));
  }
}

}  // namespace
}  // namespace ferrite::tiles

FERRITE_END_VECTORS

namespace ferrite::tiles {

const Operations* with_vectors() {
  static const bool unit = has_vectors() && has_unit();
  static const Operations all = {
      unit ? begin : kPortable.begin,
      unit ? end : kPortable.end,
      unit ? product : kPortable.product,
      pack_columns,
      pack_rows,
      pack_scattered,
      transpose,
      copy_rows,
      clear_row,
      finish,
      keep_row,
  };
  return has_vectors() ? &all : nullptr;
}

}  // namespace ferrite::tiles

#else

namespace ferrite::tiles {

const Operations* with_vectors() {
  return nullptr;
}

}  // namespace ferrite::tiles

#endif
