// Convolution and the activation behind it on a processor, in the type of its input. The weight gradient is a product
// of matrices where that is faster.
//
// The caller chooses the algorithm of each pass (kernels.rs). Forward pass and input gradient are LibTorch's, or
// products on the matrix unit (tiled.h). For the weight gradient oneDNN has no good kernel on processors without
// AVX-512, and with it none for small images: it reaches a tenth to a half of what a matrix product does there
// (docs/benchmarks.md). With the channels last in memory the gradient is such a product, of the output's gradient and
// the windows of the input.

#include "activation.h"
#include "depthwise.h"
#include "tiled.h"
#include "winograd.h"

#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <torch/version.h>

#include <algorithm>

namespace ferrite {
namespace {

// Bytes of windows that are written before they are multiplied: they stay in the cache.
constexpr int64_t kWindowBytes = 4 << 20;

// Positions that a product of bfloat16 has at least, where there are so many: its sums are rounded once.
constexpr int64_t kFewestPositions = 1024;

// The channels of each position of `x`, `[positions, channels]`, without a copy.
at::Tensor rows_of(const at::Tensor& x) {
  return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
}

// Writes the windows of the images `first` to `last` into `windows`, `[positions, kernel * kernel * channels]`.
template <typename Value>
void write_windows(const at::Tensor& x, int64_t first, int64_t last, int64_t kernel, Geometry geometry,
                   int64_t out_height, int64_t out_width, Value* windows) {
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const int64_t window = kernel * kernel * channels;
  const Value* images = values_of<Value>(x);
  at::parallel_for(first * out_height, last * out_height, 1, [&](int64_t from, int64_t to) {
    for (int64_t line = from; line < to; ++line) {
      const int64_t image = line / out_height, top = line % out_height * geometry.stride - geometry.padding;
      Value* out = windows + (line - first * out_height) * out_width * window;
      for (int64_t column = 0; column < out_width; ++column) {
        const int64_t left = column * geometry.stride - geometry.padding;
        const int64_t begin = std::max<int64_t>(left, 0), end = std::min(left + kernel, width);
        for (int64_t row = top; row < top + kernel; ++row, out += kernel * channels) {
          if (row < 0 || row >= height || begin >= end) {
            std::memset(out, 0, kernel * channels * sizeof(Value));
            continue;
          }
          const Value* in = images + ((image * height + row) * width + begin) * channels;
          std::memset(out, 0, (begin - left) * channels * sizeof(Value));
          std::memcpy(out + (begin - left) * channels, in, (end - begin) * channels * sizeof(Value));
          std::memset(out + (end - left) * channels, 0, (left + kernel - end) * channels * sizeof(Value));
        }
      }
    }
  });
}

// The gradient of the weights, `[out, in, kernel, kernel]`, channels last, as 32-bit floats.
at::Tensor window_product(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry) {
  const int64_t images = x.size(0), channels = x.size(1), out = gradient.size(1);
  const at::Tensor rows = rows_of(gradient);
  at::Tensor product;
  if (kernel == 1 && geometry.padding == 0) {
    const auto seen = geometry.stride == 1
        ? x
        : x.slice(2, 0, c10::nullopt, geometry.stride).slice(3, 0, c10::nullopt, geometry.stride).contiguous(kLast);
    product = rows.t().mm(rows_of(seen));
  } else {
    const int64_t height = gradient.size(2), width = gradient.size(3), window = kernel * kernel * channels;
    const int64_t bytes = height * width * window * x.element_size();
    const bool exact = x.scalar_type() == at::kFloat;
    const int64_t fewest = exact ? 1 : (kFewestPositions + height * width - 1) / (height * width);
    const int64_t parts = std::max<int64_t>(1, images / std::max(fewest, kWindowBytes / bytes));
    const int64_t at_once = (images + parts - 1) / parts;
    at::Tensor windows = at::empty({at_once * height * width, window}, x.options());
    for (int64_t first = 0; first < images; first += at_once) {
      const int64_t last = std::min(images, first + at_once), count = (last - first) * height * width;
      for_type_of(x, [&](auto value) {
        write_windows(x, first, last, kernel, geometry, height, width, changed<decltype(value)>(windows));
      });
      const at::Tensor part = rows.narrow(0, first * height * width, count).t(), seen = windows.narrow(0, 0, count);
      if (first == 0) {
        product = part.mm(seen).to(at::kFloat);
      } else {
        exact ? product.addmm_(part, seen) : product.add_(part.mm(seen));
      }
    }
  }
  return product.to(at::kFloat).view({out, kernel, kernel, channels}).permute({0, 3, 1, 2});
}

// oneDNN's convolution with an activation at its end, which PyTorch's compiler calls; nothing where LibTorch was
// built without oneDNN.
using WithActivation = at::Tensor(const at::Tensor&, const at::Tensor&, const MaybeTensor&, at::IntArrayRef padding,
                                  at::IntArrayRef stride, at::IntArrayRef dilation, int64_t groups,
                                  std::string_view activation, c10::List<std::optional<at::Scalar>> bounds,
                                  std::optional<std::string_view> algorithm);

std::optional<c10::TypedOperatorHandle<WithActivation>> with_activation() {
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_convolution_pointwise", ""});
  return found ? std::optional(found->typed<WithActivation>()) : std::nullopt;
}

// LibTorch's min(max(convolution + bias, low), high) in the type of `x`.
at::Tensor by_libtorch(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& bias, Geometry geometry,
                       Bounds bounds) {
  static const auto operation = with_activation();
  static const bool avx512 = at::get_cpu_capability() == "AVX512";
  // oneDNN imitates bfloat16 with AVX-512 alone, and LibTorch's own kernels do everywhere.
  const bool one_dnn = operation && (avx512 || x.scalar_type() == at::kFloat);
  const at::Tensor kernels = weight.to(x.scalar_type());
  const MaybeTensor shift = bias ? MaybeTensor(bias->to(x.scalar_type())) : bias;
  const int64_t stride = geometry.stride, padding = geometry.padding, groups = geometry.groups;
  if (!one_dnn || !bounds.bound()) {
    const at::Tensor out =
        at::convolution(x, kernels, shift, {stride, stride}, {padding, padding}, {1, 1}, false, {0, 0}, groups);
    return bounds.bound() ? out.clamp_(bounds.low, bounds.high) : out;
  }
  const bool from_above = bounds.high < kEndless;
  c10::List<std::optional<at::Scalar>> numbers;
  if (from_above) {
    numbers.push_back(at::Scalar(bounds.low));
    numbers.push_back(at::Scalar(bounds.high));
  }
  return operation->call(x, kernels, shift, {padding, padding}, {stride, stride}, {1, 1}, groups,
                         from_above ? "hardtanh" : "relu", numbers, "");
}

// Whether an algorithm packs weights of 32 bits itself.
bool packs(Algorithm algorithm) {
  return algorithm == Algorithm::kMatrixUnit || algorithm == Algorithm::kWinograd;
}

// A bias as LibTorch's kernels round it, whose results ours then are to the last bit but for the order of sums.
MaybeTensor rounded(const MaybeTensor& bias) {
  return bias ? MaybeTensor(bias->detach().to(at::kBFloat16).to(at::kFloat).contiguous()) : std::nullopt;
}

// min(max(convolution + bias, low), high) in the type of `x`.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& bias, Geometry geometry,
                    Bounds bounds, Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kMatrixUnit:
      return tiled::forward(x, weight, rounded(bias), geometry, bounds);
    case Algorithm::kWinograd:
      return winograd::forward(x, weight, rounded(bias), geometry, bounds);
    default:
      return by_libtorch(x, weight, bias, geometry, bounds);
  }
}

// What a convolution is besides its tensors.
struct Settings {
  Geometry geometry;
  Bounds bounds;
  Algorithms algorithms;
  bool has_bias;
};

// Gradients of the tensors that a convolution was made of; one that nobody asked for is none.
struct Gradients {
  at::Tensor x, weight, bias;
};

// The gradient in front of the activation, and its sum for each channel where there was an activation.
struct Passed {
  at::Tensor gradient, sums;
};

// What goes through the activation whose output was `out`; it is none where nothing is bounded.
//
// What nobody else holds, besides LibTorch's caller, is changed in place: a copy of the largest activation's gradient
// would be the peak of a step's memory. How often LibTorch's engine holds a gradient is not promised by its interface.
// It was read from the source of the version that is asserted here, and is tested with gradients that somebody else
// holds as well.
Passed pass(const at::Tensor& arriving, const at::Tensor& out, Bounds bounds) {
  static_assert(TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 9,
                "see whether torch/csrc/autograd/engine.cpp still holds a gradient twice while a node computes");
  const bool own = arriving.use_count() <= 2 && arriving.storage().use_count() == 1;
  at::Tensor gradient = arriving.contiguous(kLast);
  if (!out.defined()) {
    return {gradient, {}};
  }
  if (!own && gradient.is_same(arriving)) {
    gradient = gradient.clone();
  }
  const at::Tensor sums = pass_through_activation(gradient, out.contiguous(kLast), bounds);
  return {gradient, sums};
}

at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                          const Settings& settings) {
  switch (settings.algorithms.input_gradient) {
    case Algorithm::kMatrixUnit:
      return tiled::input_gradient(gradient, weight, settings.geometry, x.size(2), x.size(3));
    case Algorithm::kWinograd:
      return winograd::input_gradient(gradient, weight, settings.geometry, x.size(2), x.size(3));
    default:
      return {};
  }
}

at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                           const Settings& settings) {
  switch (settings.algorithms.weight_gradient) {
    case Algorithm::kMatrixUnit:
      return tiled::weight_gradient(gradient, x, weight.size(2), settings.geometry);
    case Algorithm::kWindowProduct:
      return window_product(gradient, x.contiguous(kLast), weight.size(2), settings.geometry);
    case Algorithm::kDepthwise:
      return depthwise::weight_gradient(gradient, x, weight.size(2), settings.geometry);
    default:
      return {};
  }
}

// Writes those of `gradients` that are asked for and not there yet.
void add_libtorchs(Gradients& gradients, std::array<bool, 3> asked, const at::Tensor& gradient, const at::Tensor& x,
                   const at::Tensor& weight, Geometry geometry) {
  const std::array<bool, 3> rest{asked[0] && !gradients.x.defined(), asked[1] && !gradients.weight.defined(),
                                 asked[2] && !gradients.bias.defined()};
  if (!rest[0] && !rest[1] && !rest[2]) {
    return;
  }
  const std::vector<int64_t> bias_sizes{weight.size(0)};
  const int64_t stride = geometry.stride, padding = geometry.padding;
  const auto [of_x, of_weight, of_bias] =
      at::convolution_backward(gradient, x, weight.to(x.scalar_type()), at::IntArrayRef(bias_sizes), {stride, stride},
                               {padding, padding}, {1, 1}, false, {0, 0}, geometry.groups, rest);
  gradients.x = rest[0] ? of_x : gradients.x;
  gradients.weight = rest[1] ? of_weight : gradients.weight;
  gradients.bias = rest[2] ? of_bias : gradients.bias;
}

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const MaybeTensor& bias, Settings settings) {
    const Algorithms algorithms = settings.algorithms;
    // The matrix unit's products round weights while they pack them.
    const at::Tensor kernels =
        packs(algorithms.forward) || packs(algorithms.input_gradient) ? weight : weight.to(x.scalar_type());
    const at::Tensor out = convolve(x, kernels, bias, settings.geometry, settings.bounds, algorithms.forward);
    context->save_for_backward({x, kernels, settings.bounds.bound() ? out : at::Tensor()});
    keep(context, settings);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list arriving) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &out = saved[2];
    const auto settings = kept<Settings>(context);
    const std::array<bool, 3> asked{context->needs_input_grad(0), context->needs_input_grad(1),
                                    settings.has_bias && context->needs_input_grad(2)};
    const auto [gradient, sums] = pass(arriving[0], out, settings.bounds);
    Gradients gradients;
    gradients.x = asked[0] ? input_gradient(gradient, x, weight, settings) : gradients.x;
    gradients.weight = asked[1] ? weight_gradient(gradient, x, weight, settings) : gradients.weight;
    gradients.bias = asked[2] ? sums : gradients.bias;
    // Asked for the bias's gradient, oneDNN takes the weights' as well.
    if (asked[2] && !gradients.bias.defined() && gradients.weight.defined()) {
      gradients.bias = rows_of(gradient).sum(0, false, at::kFloat);
    }
    add_libtorchs(gradients, asked, gradient, x, weight, settings.geometry);
    const auto full = [](const at::Tensor& it) { return it.defined() ? it.to(at::kFloat) : it; };
    return {gradients.x, full(gradients.weight), full(gradients.bias), at::Tensor()};
  }
};

}  // namespace

// What mod.rs calls with; it has the same structure.
struct ConvolutionCall {
  const at::Tensor *x, *weight, *bias;
  Geometry geometry;
  Bounds bounds;
  Algorithms algorithms;
};

}  // namespace ferrite

extern "C" at::Tensor* ferrite_convolution(const ferrite::ConvolutionCall* call, char** error) {
  return ferrite::caught(error, [&] {
    const ferrite::Settings settings{call->geometry, call->bounds, call->algorithms, call->bias != nullptr};
    return ferrite::Convolution::apply(*call->x, *call->weight, ferrite::maybe(call->bias), settings);
  });
}
