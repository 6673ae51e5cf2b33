// What the hardware can do, asked where LibTorch asks.

#include "tiled.h"

#include <ATen/detail/CUDAHooksInterface.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// AVX512-BF16 (CPUID leaf 7, subleaf 1, bit 5 of EAX: Intel SDM volume 2A), and LibTorch not held back from using it.
extern "C" bool ferrite_processor_has_bfloat16() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return ferrite::avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
#else
  return false;
#endif
}

extern "C" bool ferrite_processor_has_matrix_unit() {
  return ferrite::tiled::available();
}

extern "C" bool ferrite_gpus_have_bfloat16() {
  const auto& hooks = at::detail::getCUDAHooks();
  return hooks.hasCuDNN() && hooks.supportsBFloat16ConvolutionWithCuDNNv8();
}
