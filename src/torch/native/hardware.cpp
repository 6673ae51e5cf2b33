// What the hardware can do, asked where LibTorch asks.

#include "tiled.h"
#include "tiles.h"

#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ferrite {
namespace {

// What a processor says of itself; `Processor` of mod.rs.
struct Processor {
  char vendor[12];
  uint32_t family;
  bool avx512_bf16;
  bool amx_bf16;
};

// Whether ONEDNN_MAX_CPU_ISA is one of `limits`. oneDNN reads it in any case, and under its old name too.
bool limited_to(std::initializer_list<const char*> limits) {
  const char* value = std::getenv("ONEDNN_MAX_CPU_ISA");
  value = value ? value : std::getenv("DNNL_MAX_CPU_ISA");
  std::string name = value ? value : "";
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char it) { return std::toupper(it); });
  return std::find(limits.begin(), limits.end(), name) != limits.end();
}

bool limited_below_bfloat16() {
  return limited_to({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"});
}

bool limited_below_tiles() {
  return limited_below_bfloat16() || limited_to({"AVX2_VNNI_2", "AVX512_CORE_BF16", "AVX10_1_512", "AVX512_CORE_FP16"});
}

// Intel SDM volume 2A and AMD APM volume 3, CPUID: leaf 0 has the vendor, leaf 1 the family.
Processor this_processor() {
  Processor it = {};
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d)) {
    std::memcpy(it.vendor, &b, 4);
    std::memcpy(it.vendor + 4, &d, 4);
    std::memcpy(it.vendor + 8, &c, 4);
  }
  if (__get_cpuid(1, &a, &b, &c, &d)) {
    const unsigned base = a >> 8 & 15;
    it.family = base == 15 ? base + (a >> 20 & 255) : base;
  }
  // Leaf 7, subleaf 1, bit 5 of EAX.
  it.avx512_bf16 =
      avx512() && !limited_below_bfloat16() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
  it.amx_bf16 = tiled::available();
#endif
  return it;
}

}  // namespace

namespace tiled {

bool available() {
  static const bool known = avx512() && !limited_below_tiles() && tiles::available();
  return known;
}

}  // namespace tiled
}  // namespace ferrite

extern "C" void ferrite_processor(ferrite::Processor* processor) {
  *processor = ferrite::this_processor();
}

extern "C" bool ferrite_gpus_have_bfloat16() {
  const auto& hooks = at::detail::getCUDAHooks();
  return hooks.hasCuDNN() && hooks.supportsBFloat16ConvolutionWithCuDNNv8();
}
