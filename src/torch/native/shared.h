// What the native sources share: how errors leave them, and functions compiled for several processors.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <ATen/Parallel.h>

#include <cstring>
#include <exception>
#include <optional>

// Compiles a function for AVX-512, for AVX2 and for any processor; the program takes the best one when it
// starts, as LibTorch does with its own kernels.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FERRITE_FOR_ALL_PROCESSORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FERRITE_FOR_ALL_PROCESSORS
#endif

namespace ferrite {

// Where the channels of an activation lie in memory.
constexpr auto kLast = at::MemoryFormat::ChannelsLast;

// Runs `work` and gives its result as a new tensor. No exception may reach Rust: of a failure only its
// message leaves, in `error`, which the caller frees.
template <typename Work>
at::Tensor* caught(char** error, Work work) {
  try {
    return new at::Tensor(work());
  } catch (const std::exception& failure) {
    *error = strdup(failure.what());
  } catch (...) {
    *error = strdup("LibTorch failed and does not say why");
  }
  return nullptr;
}

using MaybeTensor = std::optional<at::Tensor>;

inline MaybeTensor maybe(const at::Tensor* tensor) {
  return tensor ? MaybeTensor(*tensor) : std::nullopt;
}

}  // namespace ferrite
