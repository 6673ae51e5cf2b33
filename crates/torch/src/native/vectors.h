// What the sources with instructions of the matrix unit share: Intel's intrinsics, where there are any, and for which
// processors functions are compiled between FERRITE_BEGIN_VECTORS and FERRITE_END_VECTORS.
//
// What headers define must run on every processor, so none is included between them.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define FERRITE_VECTORS

#include <immintrin.h>

#if defined(__clang__)
#define FERRITE_PRAGMA(text) _Pragma(#text)
#define FERRITE_BEGIN_VECTORS                                                                                          \
  FERRITE_PRAGMA(                                                                                                      \
      clang attribute push(__attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))), \
                           apply_to = function))
#define FERRITE_END_VECTORS _Pragma("clang attribute pop")
#else
// GCC's own headers begin some values with themselves.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define FERRITE_BEGIN_VECTORS \
  _Pragma("GCC push_options") _Pragma("GCC target(\"amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16\")")
#define FERRITE_END_VECTORS _Pragma("GCC pop_options")
#endif

namespace ferrite {

// Whether this processor has the vectors that such functions use, besides the matrix unit.
inline bool has_vectors() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bf16");
}

// The first `count` of 32 values, or all of them.
inline __mmask32 first(int64_t count) {
  return count >= 32 ? ~__mmask32{0} : count <= 0 ? __mmask32{0} : (__mmask32{1} << count) - 1;
}

}  // namespace ferrite

#endif
