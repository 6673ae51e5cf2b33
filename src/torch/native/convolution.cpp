// Convolution on a processor whose weight gradient is a product of matrices where that is faster.
//
// Forward pass and input gradient are LibTorch's. For the weight gradient oneDNN has no good kernel on
// processors without AVX-512: it reaches a tenth to a half of what a matrix product does there
// (docs/benchmarks.md). With the channels last in memory the gradient is such a product, of the output's
// gradient and the windows of the input.

#include "shared.h"

#include <ATen/Version.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>

#include <algorithm>

namespace ferrite {
namespace {

// Bytes of windows that are written before they are multiplied: they stay in the cache.
constexpr int64_t kWindowBytes = 4 << 20;

// Input channels from which on the product wins over oneDNN's kernel.
constexpr int64_t kFewestChannels = 16;

struct Geometry {
  int64_t stride, padding, groups;
};

bool has_slow_weight_gradients() {
  static const bool slow = at::get_cpu_capability() == "AVX2";
  return slow;
}

bool multiplies(const at::Tensor& x, const at::Tensor& weight, Geometry geometry) {
  return has_slow_weight_gradients() && x.scalar_type() == at::kFloat && geometry.groups == 1 &&
         weight.size(1) >= kFewestChannels;
}

// The channels of each position of `x`, `[positions, channels]`, without a copy.
at::Tensor rows_of(const at::Tensor& x) {
  return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
}

// Writes the windows of the images `first` to `last` into `windows`, `[positions, kernel * kernel * channels]`.
void write_windows(const at::Tensor& x, int64_t first, int64_t last, int64_t kernel, Geometry geometry,
                   int64_t out_height, int64_t out_width, float* windows) {
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const int64_t window = kernel * kernel * channels;
  const float* images = x.const_data_ptr<float>();
  at::parallel_for(first * out_height, last * out_height, 1, [&](int64_t from, int64_t to) {
    for (int64_t line = from; line < to; ++line) {
      const int64_t image = line / out_height, top = line % out_height * geometry.stride - geometry.padding;
      float* out = windows + (line - first * out_height) * out_width * window;
      for (int64_t column = 0; column < out_width; ++column) {
        const int64_t left = column * geometry.stride - geometry.padding;
        const int64_t begin = std::max<int64_t>(left, 0), end = std::min(left + kernel, width);
        for (int64_t row = top; row < top + kernel; ++row, out += kernel * channels) {
          if (row < 0 || row >= height || begin >= end) {
            std::memset(out, 0, kernel * channels * sizeof(float));
            continue;
          }
          const float* in = images + ((image * height + row) * width + begin) * channels;
          std::memset(out, 0, (begin - left) * channels * sizeof(float));
          std::memcpy(out + (begin - left) * channels, in, (end - begin) * channels * sizeof(float));
          std::memset(out + (end - left) * channels, 0, (left + kernel - end) * channels * sizeof(float));
        }
      }
    }
  });
}

// The gradient of the weights, `[out, in, kernel, kernel]`, channels last.
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
    const int64_t bytes = height * width * window * sizeof(float);
    const int64_t at_once = std::min(images, std::max<int64_t>(1, kWindowBytes / bytes));
    at::Tensor windows = at::empty({at_once * height * width, window}, x.options());
    product = at::empty({out, window}, x.options());
    for (int64_t first = 0; first < images; first += at_once) {
      const int64_t last = std::min(images, first + at_once), count = (last - first) * height * width;
      write_windows(x, first, last, kernel, geometry, height, width, windows.data_ptr<float>());
      const auto part = rows.narrow(0, first * height * width, count).t();
      product.addmm_(part, windows.narrow(0, 0, count), first == 0 ? 0 : 1);
    }
  }
  return product.view({out, kernel, kernel, channels}).permute({0, 3, 1, 2});
}

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const MaybeTensor& bias, int64_t stride, int64_t padding, int64_t groups) {
    context->save_for_backward({x, weight});
    context->saved_data["numbers"] = std::vector<int64_t>{stride, padding, groups, bias.has_value()};
    return at::convolution(x, weight, bias, {stride, stride}, {padding, padding}, {1, 1}, false, {0, 0}, groups);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const auto numbers = context->saved_data["numbers"].toIntVector();
    const Geometry geometry{numbers[0], numbers[1], numbers[2]};
    const at::Tensor gradient = gradients[0].contiguous(kLast);
    const bool product = context->needs_input_grad(1) && multiplies(x, weight, geometry);
    const bool of_biases = numbers[3] && context->needs_input_grad(2);
    // Asked for the bias's gradient, oneDNN takes the weights' as well.
    const std::array<bool, 3> rest{context->needs_input_grad(0), context->needs_input_grad(1) && !product,
                                   of_biases && !product};
    at::Tensor of_x, of_weight, of_bias;
    if (rest[0] || rest[1] || rest[2]) {
      const std::vector<int64_t> bias_sizes{weight.size(0)};
      const int64_t stride = geometry.stride, padding = geometry.padding;
      std::tie(of_x, of_weight, of_bias) =
          at::convolution_backward(gradient, x, weight, at::IntArrayRef(bias_sizes), {stride, stride},
                                   {padding, padding}, {1, 1}, false, {0, 0}, geometry.groups, rest);
    }
    if (product) {
      of_weight = weight_gradient(gradient, x.contiguous(kLast), weight.size(2), geometry);
      of_bias = of_biases ? rows_of(gradient).sum(0) : of_bias;
    }
    return {of_x, of_weight, of_bias, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace
}  // namespace ferrite

extern "C" at::Tensor* ferrite_convolution(const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias,
                                           int64_t stride, int64_t padding, int64_t groups, char** error) {
  return ferrite::caught(error, [&] {
    return ferrite::Convolution::apply(*x, *weight, ferrite::maybe(bias), stride, padding, groups);
  });
}
