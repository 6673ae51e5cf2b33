// What LibTorch says of the hardware.

#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <cstdint>
#include <string>

extern "C" bool ferrite_gpus_have_bfloat16() {
  const auto& hooks = at::detail::getCUDAHooks();
  return hooks.hasCuDNN() && hooks.supportsBFloat16ConvolutionWithCuDNNv8();
}

// The vectors of LibTorch's own kernels, `Vectors` of processor.rs, which a test holds against this.
extern "C" uint8_t ferrite_vectors() {
  const std::string used = at::get_cpu_capability();
  return used == "AVX512" ? 2 : used == "AVX2" ? 1 : 0;
}
