// Batch norm, a sum with another tensor, and an activation, on a processor, in as few passes over memory as
// they need.
//
// Separately, as LibTorch has them, these operations read or write an activation fourteen times in a step;
// here it is eight times. The statistics are taken in one pass, around the first position's values, in
// 64 bits across blocks of rows.

#include "passes.h"
#include "positions.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ferrite {
namespace {

// ---------------------------------------------------------------------------------------------------
// Statistics

// Rows of the small table that the backward pass needs.
enum Row { kMean, kDeviation, kFactor, kSummand, kRows };

// The tensors of a batch norm, those of its statistics as they are in the running ones.
struct Tensors {
  const at::Tensor &weight, &bias, &mean, &variance;
};

// What a batch norm is besides its tensors, with the sum and the activation behind it.
struct Settings {
  double momentum, eps;
  Bounds bounds;
  bool takes_batch_statistics, adds;

  // Whether the backward pass reads the output: with a sum it cannot compute again what the activation bounded.
  bool keeps_output() const {
    return adds && bounds.bound();
  }
};

// Mean, reciprocal deviation, factor and summand of each channel of the wide `shape`; moves the running statistics.
template <typename Value>
at::Tensor statistics(const at::Tensor& x, const Tensors& tensors, Shape shape, const Settings& settings) {
  const int64_t channels = x.size(1), wide = shape.channels;
  const auto count = static_cast<double>(x.numel() / channels);
  const at::Tensor table = at::empty({kRows, wide}, tensors.weight.options().requires_grad(false));
  float *rows = table.data_ptr<float>(), *running_mean = tensors.mean.data_ptr<float>(),
        *running = tensors.variance.data_ptr<float>();
  const float *gamma = tensors.weight.const_data_ptr<float>(), *beta = tensors.bias.const_data_ptr<float>();
  const Value* values = values_of<Value>(x);
  std::vector<float> first(wide);
  std::vector<double> sums;
  if (settings.takes_batch_statistics) {
    for (int64_t i = 0; i < wide; ++i) {
      first[i] = widen(values[i % channels]);
    }
    const auto add = [&](int64_t from, int64_t positions, float* sums) {
      add_moments(values + from * wide, positions, wide, first.data(), sums, sums + wide);
    };
    sums = narrowed(sum_up(shape, 2, add), 2, shape, channels);
  }
  for (int64_t i = 0; i < channels; ++i) {
    double middle = running_mean[i], spread = running[i];
    if (settings.takes_batch_statistics) {
      const double shifted = sums[i] / count;
      middle = first[i] + shifted;
      spread = std::max(0.0, sums[channels + i] / count - shifted * shifted);
      const double unbiased = spread * count / std::max(1.0, count - 1);
      running_mean[i] = static_cast<float>((1 - settings.momentum) * running_mean[i] + settings.momentum * middle);
      running[i] = static_cast<float>((1 - settings.momentum) * running[i] + settings.momentum * unbiased);
    }
    const double deviation = 1 / std::sqrt(spread + settings.eps);
    for (int64_t at = i; at < wide; at += channels) {
      rows[kMean * wide + at] = static_cast<float>(middle);
      rows[kDeviation * wide + at] = static_cast<float>(deviation);
      rows[kFactor * wide + at] = static_cast<float>(gamma[i] * deviation);
      rows[kSummand * wide + at] = static_cast<float>(beta[i] - middle * gamma[i] * deviation);
    }
  }
  return table;
}

template <typename Value>
at::Tensor normalized(const at::Tensor& x, const at::Tensor& other, const at::Tensor& table, Shape shape,
                      Bounds bounds) {
  const int64_t channels = shape.channels;
  at::Tensor out = at::empty_like(x, x.options().requires_grad(false), kLast);
  const float* rows = table.const_data_ptr<float>();
  const Value *in = values_of<Value>(x), *added = other.defined() ? values_of<Value>(other) : nullptr;
  Value* result = changed<Value>(out);
  at::parallel_for(0, shape.positions, shape.grain(), [&](int64_t begin, int64_t end) {
    const int64_t at = begin * channels, count = end - begin;
    const float *factor = rows + kFactor * channels, *summand = rows + kSummand * channels;
    if (added) {
      scale_and_add(in + at, added + at, count, channels, factor, summand, bounds, result + at);
    } else {
      scale(in + at, count, channels, factor, summand, bounds, result + at);
    }
  });
  return out;
}

// ---------------------------------------------------------------------------------------------------
// The operation

template <typename Value>
torch::autograd::variable_list gradients_of(torch::autograd::AutogradContext* context, const at::Tensor& gradient) {
  const auto saved = context->get_saved_variables();
  const at::Tensor &x = saved[0], &weight = saved[1], &table = saved[2], &kept = saved[3];
  const auto settings = ferrite::kept<Settings>(context);
  const bool keeps = settings.keeps_output();
  Bounds bounds = settings.bounds;
  const Shape shape = shape_of(x).widened();
  const int64_t channels = x.size(1), wide = shape.channels;
  const float* rows = table.const_data_ptr<float>();
  const float *mean = rows + kMean * wide, *deviation = rows + kDeviation * wide, *factor = rows + kFactor * wide,
              *summand = rows + kSummand * wide;

  const Value *in = values_of<Value>(x), *arriving = values_of<Value>(gradient);
  at::Tensor passed = keeps ? at::empty_like(gradient, gradient.options(), kLast) : gradient;
  const auto add = [&](int64_t from, int64_t positions, float* sum) {
    const int64_t at = from * wide;
    float* product = sum + wide;
    if (keeps) {
      add_kept_gradients(arriving + at, in + at, values_of<Value>(kept) + at, positions, wide, bounds, mean, sum,
                         product, changed<Value>(passed) + at);
    } else {
      add_gradients(arriving + at, in + at, positions, wide, factor, summand, bounds, mean, sum, product);
    }
  };
  const std::vector<double> sums = narrowed(sum_up(shape, 2, add), 2, shape, channels);
  if (keeps) {
    // What passed has gone through the activation already.
    bounds = {-kEndless, kEndless};
  }

  at::Tensor of_weight = at::empty_like(weight), of_bias = at::empty_like(weight);
  std::vector<float> terms(3 * wide, 0.0f);
  const auto count = static_cast<double>(x.numel() / channels);
  for (int64_t i = 0; i < channels; ++i) {
    of_weight.data_ptr<float>()[i] = static_cast<float>(sums[channels + i] * deviation[i]);
    of_bias.data_ptr<float>()[i] = static_cast<float>(sums[i]);
    const double squared = static_cast<double>(deviation[i]) * deviation[i];
    for (int64_t at = i; at < wide; at += channels) {
      terms[at] = factor[i];
      if (settings.takes_batch_statistics) {
        terms[wide + at] = static_cast<float>(-factor[i] * squared * sums[channels + i] / count);
        terms[2 * wide + at] = static_cast<float>(-factor[i] * sums[i] / count);
      }
    }
  }
  at::Tensor of_x;
  if (context->needs_input_grad(0)) {
    of_x = at::empty_like(x, x.options(), kLast);
    const Value* from = values_of<Value>(passed);
    Value* out = changed<Value>(of_x);
    at::parallel_for(0, shape.positions, shape.grain(), [&](int64_t begin, int64_t end) {
      const int64_t at = begin * wide;
      combine(from + at, in + at, end - begin, wide, factor, summand, bounds, mean, terms.data(), terms.data() + wide,
              terms.data() + 2 * wide, out + at);
    });
  }
  const at::Tensor none, of_other = settings.adds && context->needs_input_grad(5) ? passed : none;
  return {of_x, of_weight, of_bias, none, none, of_other, none};
}

struct Norm : torch::autograd::Function<Norm> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& variance,
                            const MaybeTensor& other, Settings settings) {
    const at::Tensor in = x.contiguous(kLast);
    const at::Tensor added = other ? other->to(x.scalar_type()).contiguous(kLast) : at::Tensor();
    const Shape shape = shape_of(in).widened();
    at::Tensor table, out;
    for_type_of(in, [&](auto value) {
      using Value = decltype(value);
      table = statistics<Value>(in, {weight, bias, mean, variance}, shape, settings);
      out = normalized<Value>(in, added, table, shape, settings.bounds);
    });
    context->save_for_backward({in, weight, table, settings.keeps_output() ? out : at::Tensor()});
    keep(context, settings);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    torch::autograd::variable_list result;
    for_type_of(context->get_saved_variables()[0],
                [&](auto value) { result = gradients_of<decltype(value)>(context, gradients[0].contiguous(kLast)); });
    return result;
  }
};

}  // namespace

// What mod.rs calls with; it has the same structure.
struct NormCall {
  const at::Tensor *x, *other, *weight, *bias, *mean, *variance;
  double momentum, eps;
  Bounds bounds;
  bool takes_batch_statistics;
};

}  // namespace ferrite

extern "C" at::Tensor* ferrite_norm(const ferrite::NormCall* call, char** error) {
  return ferrite::caught(error, [&] {
    const ferrite::Settings settings{call->momentum, call->eps, call->bounds, call->takes_batch_statistics,
                                     call->other != nullptr};
    return ferrite::Norm::apply(*call->x, *call->weight, *call->bias, *call->mean, *call->variance,
                                ferrite::maybe(call->other), settings);
  });
}
