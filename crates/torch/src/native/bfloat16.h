// Numbers of 16 bits, and functions compiled for several processors. Nothing here needs LibTorch.
#pragma once

#include <cstdint>
#include <cstring>

// Compiles a function for AVX-512, for AVX2 and for any processor; the program takes the best one when it
// starts, as LibTorch does with its own kernels.
//
// Not under sanitizers, which are not there yet when the program chooses.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define FERRITE_FOR_ALL_PROCESSORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FERRITE_FOR_ALL_PROCESSORS
#endif

// A loop that such functions of several types share, compiled as a part of each.
#define FERRITE_INLINE inline __attribute__((always_inline))

namespace ferrite {

// The bits of a bfloat16: the upper half of a 32-bit float. LibTorch's own type keeps compilers from computing
// with several at once.
enum class Bfloat16 : uint16_t {};

inline float widen(float value) {
  return value;
}

inline float widen(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

inline void narrow(float value, float& out) {
  out = value;
}

// Rounds to the nearest, ties to even. What is not a number stays so.
inline void narrow(float value, Bfloat16& out) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40;
  out = static_cast<Bfloat16>((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

}  // namespace ferrite
