// What keeps a GPU busy: uploads that nobody waits for, many small operations as a few, and work that is recorded once
// and launched as a whole (CUDA graphs, https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/).

#include "shared.h"

#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include <memory>
#include <vector>

#ifdef FERRITE_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace ferrite {
namespace {

// Runs `work`; of a failure its message leaves in `error`, which the caller frees.
template <typename Work>
void attempt(char** error, Work work) {
  const at::Tensor* none = caught(error, [&] {
    work();
    return at::Tensor();
  });
  delete none;
}

std::vector<at::Tensor> list(const at::Tensor* const* tensors, int64_t count) {
  std::vector<at::Tensor> all;
  for (int64_t index = 0; index < count; ++index) {
    all.push_back(*tensors[index]);
  }
  return all;
}

}  // namespace
}  // namespace ferrite

// A copy of `x`, which lies on the processor, on a GPU. The copy is made in the order of what the GPU does, from memory
// that the GPU reads by itself, so that nobody waits for it.
extern "C" at::Tensor* ferrite_upload(const at::Tensor* x, int64_t index, char** error) {
  return ferrite::caught(error, [&] {
    const at::Device gpu(at::kCUDA, static_cast<at::DeviceIndex>(index));
    return x->pin_memory().to(gpu, x->scalar_type(), /*non_blocking=*/true);
  });
}

// Copies tensors of one type into as many others of one type.
extern "C" void ferrite_copy_all(const at::Tensor* const* into, const at::Tensor* const* from, int64_t count,
                                 char** error) {
  ferrite::attempt(error, [&] { at::_foreach_copy_(ferrite::list(into, count), ferrite::list(from, count), true); });
}

// One step of PyTorch's Adam, with numbers that lie where the values do: `steps` counts the steps, this one included.
extern "C" void ferrite_adam(const at::Tensor* values, const at::Tensor* gradient, const at::Tensor* first,
                             const at::Tensor* second, const at::Tensor* steps, const at::Tensor* rate, double beta1,
                             double beta2, double eps, double decay, bool decoupled, char** error) {
  ferrite::attempt(error, [&] {
    const auto step = decoupled ? at::_ops::_fused_adamw__tensor_lr::call : at::_ops::_fused_adam__tensor_lr::call;
    step({*values}, {*gradient}, {*first}, {*second}, {}, {*steps}, *rate, beta1, beta2, decay, eps, false, false, {},
         {});
  });
}

#ifdef FERRITE_CUDA

// From now on this thread's work for the GPU goes to a stream of its own: the default one cannot be recorded.
extern "C" void ferrite_use_own_stream(int64_t index, char** error) {
  ferrite::attempt(error, [&] {
    const auto gpu = static_cast<c10::DeviceIndex>(index);
    c10::cuda::set_device(gpu);
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(false, gpu));
  });
}

// Begins to record what this thread asks of the GPU.
extern "C" void* ferrite_graph_begin(char** error) {
  std::unique_ptr<at::cuda::CUDAGraph> graph;
  ferrite::attempt(error, [&] {
    graph = std::make_unique<at::cuda::CUDAGraph>();
    // Memory that no tensor has any more can then become the recording's own.
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  });
  return graph.release();
}

extern "C" void ferrite_graph_end(void* graph, char** error) {
  ferrite::attempt(error, [&] { static_cast<at::cuda::CUDAGraph*>(graph)->capture_end(); });
}

extern "C" void ferrite_graph_launch(void* graph, char** error) {
  ferrite::attempt(error, [&] { static_cast<at::cuda::CUDAGraph*>(graph)->replay(); });
}

extern "C" void ferrite_graph_free(void* graph) {
  delete static_cast<at::cuda::CUDAGraph*>(graph);
}

// The most memory that LibTorch has held on a GPU, in bytes.
extern "C" int64_t ferrite_gpu_peak(int64_t index, char** error) {
  int64_t peak = 0;
  ferrite::attempt(error, [&] {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(index));
    peak = stats.reserved_bytes[0].peak;
  });
  return peak;
}

#else

namespace {

void there_is_no_gpu(char** error) {
  ferrite::attempt(error, [] { TORCH_CHECK(false, "this LibTorch was set up without CUDA"); });
}

}  // namespace

extern "C" void ferrite_use_own_stream(int64_t, char** error) {
  there_is_no_gpu(error);
}

extern "C" void* ferrite_graph_begin(char** error) {
  there_is_no_gpu(error);
  return nullptr;
}

extern "C" void ferrite_graph_end(void*, char** error) {
  there_is_no_gpu(error);
}

extern "C" void ferrite_graph_launch(void*, char** error) {
  there_is_no_gpu(error);
}

extern "C" void ferrite_graph_free(void*) {}

extern "C" int64_t ferrite_gpu_peak(int64_t, char** error) {
  there_is_no_gpu(error);
  return 0;
}

#endif
