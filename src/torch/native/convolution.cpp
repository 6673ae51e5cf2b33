// Convolution and the activation behind it on a processor, in the type of its input. The weight gradient is a product
// of matrices where that is faster.
//
// Forward pass and input gradient are LibTorch's. For the weight gradient oneDNN has no good kernel on
// processors without AVX-512, and with it none for small images: it reaches a tenth to a half of what a matrix
// product does there (docs/benchmarks.md). With the channels last in memory the gradient is such a product, of
// the output's gradient and the windows of the input.

#include "activation.h"
#include "tiled.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>

#include <algorithm>

namespace ferrite {
namespace {

// Bytes of windows that are written before they are multiplied: they stay in the cache.
constexpr int64_t kWindowBytes = 4 << 20;

// Positions that a product of bfloat16 has at least, where there are so many: its sums are rounded once.
constexpr int64_t kFewestPositions = 1024;

// Input channels from which on the product wins over oneDNN's kernel: on AVX2, and with AVX-512 for windows of
// one position.
constexpr int64_t kFewestChannels = 16;
constexpr int64_t kFewestChannelsOfAvx512 = 128;

// Positions of an output image up to which it wins with AVX-512, whatever the window.
constexpr int64_t kSmallImage = 64;

bool multiplies(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& gradient, Geometry geometry) {
  static const bool avx2 = at::get_cpu_capability() == "AVX2";
  const int64_t channels = weight.size(1);
  if (geometry.groups != 1 || channels < kFewestChannels) {
    return false;
  }
  if (avx512()) {
    const bool points = weight.size(2) == 1 && channels >= kFewestChannelsOfAvx512;
    return points || gradient.size(2) * gradient.size(3) <= kSmallImage;
  }
  return avx2 && x.scalar_type() == at::kFloat;
}

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
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry) {
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

// min(max(convolution + bias, low), high) in the type of `x`.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& bias, Geometry geometry,
                    Bounds bounds) {
  if (tiled::wins(x, weight, geometry)) {
    return tiled::forward(x, weight, bias, geometry, bounds);
  }
  static const auto operation = with_activation();
  // oneDNN imitates bfloat16 with AVX-512 alone, and LibTorch's own kernels do everywhere.
  const bool one_dnn = operation && (avx512() || x.scalar_type() == at::kFloat);
  const at::Tensor kernels = weight.to(x.scalar_type());
  const MaybeTensor shift = bias ? MaybeTensor(bias->to(x.scalar_type())) : bias;
  const int64_t stride = geometry.stride, padding = geometry.padding, groups = geometry.groups;
  if (!one_dnn || !bounds.bound()) {
    const at::Tensor out = at::convolution(x, kernels, shift, {stride, stride}, {padding, padding}, {1, 1}, false,
                                           {0, 0}, groups);
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

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const MaybeTensor& bias, int64_t stride, int64_t padding, int64_t groups, double low,
                            double high) {
    const Geometry geometry{stride, padding, groups};
    const Bounds bounds{static_cast<float>(low), static_cast<float>(high)};
    // The matrix unit's products round weights while they pack them.
    const at::Tensor kernels = tiled::wins(x, weight, geometry) ? weight : weight.to(x.scalar_type());
    const at::Tensor out = convolve(x, kernels, bias, geometry, bounds);
    context->save_for_backward({x, kernels, bounds.bound() ? out : at::Tensor()});
    context->saved_data["numbers"] = std::vector<int64_t>{stride, padding, groups, bias.has_value()};
    context->saved_data["bounds"] = std::vector<double>{low, high};
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &out = saved[2];
    const auto numbers = context->saved_data["numbers"].toIntVector();
    const auto bounds = context->saved_data["bounds"].toDoubleVector();
    const Geometry geometry{numbers[0], numbers[1], numbers[2]};
    // What nobody else holds, besides LibTorch's caller, may be changed in place: a copy of the largest activation's
    // gradient would be the peak of a step's memory.
    const bool own = gradients[0].use_count() <= 2 && gradients[0].storage().use_count() == 1;
    at::Tensor gradient = gradients[0].contiguous(kLast), sums;
    if (out.defined()) {
      if (!own && gradient.is_same(gradients[0])) {
        gradient = gradient.clone();
      }
      const Bounds both{static_cast<float>(bounds[0]), static_cast<float>(bounds[1])};
      sums = pass_through_activation(gradient, out.contiguous(kLast), both);
    }
    const int64_t kernel = weight.size(2);
    const bool of_input = context->needs_input_grad(0), of_weights = context->needs_input_grad(1);
    const bool of_biases = numbers[3] && context->needs_input_grad(2);
    at::Tensor of_x, of_weight, of_bias = of_biases ? sums : at::Tensor();
    if (of_input && tiled::takes_input_gradient(weight, geometry) && tiled::wins(x, weight, geometry)) {
      of_x = tiled::input_gradient(gradient, weight, geometry, x.size(2), x.size(3));
    }
    if (of_weights && tiled::wins_weight_gradient(x, weight, geometry)) {
      of_weight = tiled::weight_gradient(gradient, x, kernel, geometry);
    } else if (of_weights && multiplies(x, weight, gradient, geometry)) {
      of_weight = weight_gradient(gradient, x.contiguous(kLast), kernel, geometry);
    }
    if (of_biases && !of_bias.defined() && of_weight.defined()) {
      of_bias = rows_of(gradient).sum(0, false, at::kFloat);
    }
    // Asked for the bias's gradient, oneDNN takes the weights' as well.
    const std::array<bool, 3> rest{of_input && !of_x.defined(), of_weights && !of_weight.defined(),
                                   of_biases && !of_bias.defined()};
    if (rest[0] || rest[1] || rest[2]) {
      const std::vector<int64_t> bias_sizes{weight.size(0)};
      const int64_t stride = geometry.stride, padding = geometry.padding;
      const auto [input, weights, biases] = at::convolution_backward(
          gradient, x, weight.to(x.scalar_type()), at::IntArrayRef(bias_sizes), {stride, stride}, {padding, padding},
          {1, 1}, false, {0, 0}, geometry.groups, rest);
      of_x = rest[0] ? input : of_x;
      of_weight = rest[1] ? weights : of_weight;
      of_bias = rest[2] ? biases : of_bias;
    }
    const auto full = [](const at::Tensor& it) { return it.defined() ? it.to(at::kFloat) : it; };
    const at::Tensor none;
    return {of_x, full(of_weight), full(of_bias), none, none, none, none, none};
  }
};

}  // namespace
}  // namespace ferrite

extern "C" at::Tensor* ferrite_convolution(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias,
                                           int64_t stride, int64_t padding, int64_t groups, double low, double high,
                                           char** error) {
  return ferrite::caught(error, [&] {
    return ferrite::Convolution::apply(*x, *weight, ferrite::maybe(bias), stride, padding, groups, low, high);
  });
}
