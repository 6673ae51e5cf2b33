// Batch norm, a sum with another tensor, and an activation, on a processor, in as few passes over memory as
// they need.
//
// Separately, as LibTorch has them, these operations read or write an activation fourteen times in a step;
// here it is eight times. The statistics are taken in one pass, around the first position's values, in
// 64 bits across blocks of rows.

#include "shared.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ferrite {
namespace {

// Values that a thread gets at least; fewer are not worth waking it up.
constexpr int64_t kGrain = 1 << 15;

// Positions that are summed in 32 bits.
constexpr int64_t kBlock = 64;

// Positions, each of `channels` values.
struct Shape {
  int64_t positions, channels;

  int64_t grain() const {
    return std::max<int64_t>(kBlock, kGrain / channels);
  }
};

// Bounds of an activation: what lies outside becomes the bound and has no gradient.
struct Bounds {
  float low, high;
};

// ---------------------------------------------------------------------------------------------------
// Loops over positions and channels

FERRITE_FOR_ALL_PROCESSORS
void add_moments(const float* __restrict x, int64_t positions, int64_t channels, const float* __restrict shift, float* __restrict sum, float* __restrict square) {
  int64_t position = 0;
  for (; position + 4 <= positions; position += 4, x += 4 * channels) {
    const float *b = x + channels, *c = b + channels, *d = c + channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float p = x[i] - shift[i], q = b[i] - shift[i], r = c[i] - shift[i], s = d[i] - shift[i];
      sum[i] += (p + q) + (r + s);
      square[i] += (p * p + q * q) + (r * r + s * s);
    }
  }
  for (; position < positions; ++position, x += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float p = x[i] - shift[i];
      sum[i] += p;
      square[i] += p * p;
    }
  }
}

FERRITE_FOR_ALL_PROCESSORS
void scale(const float* __restrict x, int64_t positions, int64_t channels, const float* __restrict factor, const float* __restrict summand,
           Bounds bounds, float* __restrict out) {
  for (int64_t position = 0; position < positions; ++position, x += channels, out += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      float z = x[i] * factor[i] + summand[i];
      z = z < bounds.low ? bounds.low : z;
      out[i] = z > bounds.high ? bounds.high : z;
    }
  }
}

FERRITE_FOR_ALL_PROCESSORS
void scale_and_add(const float* __restrict x, const float* __restrict other, int64_t positions, int64_t channels, const float* __restrict factor,
                   const float* __restrict summand, Bounds bounds, float* __restrict out) {
  for (int64_t position = 0; position < positions; ++position, x += channels, other += channels, out += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      float z = x[i] * factor[i] + summand[i] + other[i];
      z = z < bounds.low ? bounds.low : z;
      out[i] = z > bounds.high ? bounds.high : z;
    }
  }
}

// Sums of the gradient behind the activation, and of its products with what was normalised. The activation's
// input is computed again from `x`.
FERRITE_FOR_ALL_PROCESSORS
void add_gradients(const float* __restrict gradient, const float* __restrict x, int64_t positions, int64_t channels, const float* __restrict factor,
                   const float* __restrict summand, Bounds bounds, const float* __restrict mean, float* __restrict sum, float* __restrict product) {
  for (int64_t position = 0; position < positions; ++position, gradient += channels, x += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float z = x[i] * factor[i] + summand[i];
      const float g = (z <= bounds.low) | (z >= bounds.high) ? 0.0f : gradient[i];
      sum[i] += g;
      product[i] += g * (x[i] - mean[i]);
    }
  }
}

// The same where the activation's output is at hand. The gradient behind the activation goes to `passed`.
FERRITE_FOR_ALL_PROCESSORS
void add_kept_gradients(const float* __restrict gradient, const float* __restrict x, const float* __restrict kept, int64_t positions, int64_t channels,
                        Bounds bounds, const float* __restrict mean, float* __restrict sum, float* __restrict product, float* __restrict passed) {
  for (int64_t position = 0; position < positions;
       ++position, gradient += channels, x += channels, kept += channels, passed += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float g = (kept[i] <= bounds.low) | (kept[i] >= bounds.high) ? 0.0f : gradient[i];
      passed[i] = g;
      sum[i] += g;
      product[i] += g * (x[i] - mean[i]);
    }
  }
}

// `first * gradient + second * (x - mean) + third`
FERRITE_FOR_ALL_PROCESSORS
void combine(const float* __restrict gradient, const float* __restrict x, int64_t positions, int64_t channels, const float* __restrict factor,
             const float* __restrict summand, Bounds bounds, const float* __restrict mean, const float* __restrict first, const float* __restrict second,
             const float* __restrict third, float* __restrict out) {
  for (int64_t position = 0; position < positions;
       ++position, gradient += channels, x += channels, out += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float z = x[i] * factor[i] + summand[i];
      const float g = (z <= bounds.low) | (z >= bounds.high) ? 0.0f : gradient[i];
      out[i] = first[i] * g + second[i] * (x[i] - mean[i]) + third[i];
    }
  }
}

// ---------------------------------------------------------------------------------------------------
// Sums over all positions

// Adds two sums per channel over all positions: `add` does it for a block of them in 32 bits.
template <typename Add>
std::vector<double> sum_up(Shape shape, Add add) {
  const int64_t channels = shape.channels, threads = at::get_num_threads();
  std::vector<double> sums(threads * 2 * channels, 0.0);
  at::parallel_for(0, shape.positions, shape.grain(), [&](int64_t begin, int64_t end) {
    double* own = sums.data() + at::get_thread_num() * 2 * channels;
    std::vector<float> block(2 * channels);
    for (int64_t from = begin; from < end; from += kBlock) {
      std::fill(block.begin(), block.end(), 0.0f);
      add(from, std::min(end, from + kBlock) - from, block.data(), block.data() + channels);
      for (int64_t i = 0; i < 2 * channels; ++i) {
        own[i] += block[i];
      }
    }
  });
  for (int64_t thread = 1; thread < threads; ++thread) {
    for (int64_t i = 0; i < 2 * channels; ++i) {
      sums[i] += sums[thread * 2 * channels + i];
    }
  }
  sums.resize(2 * channels);
  return sums;
}

// Rows of the small table that the backward pass needs.
enum Row { kMean, kDeviation, kFactor, kSummand, kRows };

struct Options {
  bool batch;
  double momentum, eps;
  Bounds bounds;
};

// Mean, reciprocal deviation, factor and summand of each channel; moves the running statistics.
at::Tensor statistics(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                      const at::Tensor& variance, Shape shape, const Options& options) {
  const int64_t channels = shape.channels;
  const auto count = static_cast<double>(shape.positions);
  const at::Tensor table = at::empty({kRows, channels}, weight.options().requires_grad(false));
  float *rows = table.data_ptr<float>(), *running_mean = mean.data_ptr<float>(), *running = variance.data_ptr<float>();
  const float *values = x.const_data_ptr<float>(), *gamma = weight.const_data_ptr<float>(),
              *beta = bias.const_data_ptr<float>();
  std::vector<double> sums;
  if (options.batch) {
    sums = sum_up(shape, [&](int64_t from, int64_t positions, float* sum, float* square) {
      add_moments(values + from * channels, positions, channels, values, sum, square);
    });
  }
  for (int64_t i = 0; i < channels; ++i) {
    double middle = running_mean[i], spread = running[i];
    if (options.batch) {
      const double shifted = sums[i] / count;
      middle = values[i] + shifted;
      spread = std::max(0.0, sums[channels + i] / count - shifted * shifted);
      const double unbiased = spread * count / std::max(1.0, count - 1);
      running_mean[i] = static_cast<float>((1 - options.momentum) * running_mean[i] + options.momentum * middle);
      running[i] = static_cast<float>((1 - options.momentum) * running[i] + options.momentum * unbiased);
    }
    const double deviation = 1 / std::sqrt(spread + options.eps);
    rows[kMean * channels + i] = static_cast<float>(middle);
    rows[kDeviation * channels + i] = static_cast<float>(deviation);
    rows[kFactor * channels + i] = static_cast<float>(gamma[i] * deviation);
    rows[kSummand * channels + i] = static_cast<float>(beta[i] - middle * gamma[i] * deviation);
  }
  return table;
}

at::Tensor normalized(const at::Tensor& x, const at::Tensor& other, const at::Tensor& table, Shape shape,
                      Bounds bounds) {
  const int64_t channels = shape.channels;
  at::Tensor out = at::empty_like(x, x.options().requires_grad(false), kLast);
  const float *rows = table.const_data_ptr<float>(), *in = x.const_data_ptr<float>();
  const float* added = other.defined() ? other.const_data_ptr<float>() : nullptr;
  float* result = out.data_ptr<float>();
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

Shape shape_of(const at::Tensor& x) {
  return {x.numel() / x.size(1), x.size(1)};
}

// ---------------------------------------------------------------------------------------------------
// The operation

struct Norm : torch::autograd::Function<Norm> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& variance,
                            const MaybeTensor& other, bool batch, double momentum, double eps, double low,
                            double high) {
    const Options options{batch, momentum, eps, {static_cast<float>(low), static_cast<float>(high)}};
    const at::Tensor in = x.contiguous(kLast);
    const at::Tensor added = other ? other->contiguous(kLast) : at::Tensor();
    const Shape shape = shape_of(in);
    const at::Tensor table = statistics(in, weight, bias, mean, variance, shape, options);
    at::Tensor out = normalized(in, added, table, shape, options.bounds);
    const bool bounded = std::isfinite(low) || std::isfinite(high);
    const bool keeps = other && bounded;
    context->save_for_backward({in, weight, table, keeps ? out : at::Tensor()});
    context->saved_data["numbers"] = std::vector<double>{low, high};
    context->saved_data["switches"] = std::vector<int64_t>{batch, keeps, other.has_value()};
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &table = saved[2], &kept = saved[3];
    const auto numbers = context->saved_data["numbers"].toDoubleVector();
    const auto switches = context->saved_data["switches"].toIntVector();
    const bool batch = switches[0], keeps = switches[1];
    Bounds bounds{static_cast<float>(numbers[0]), static_cast<float>(numbers[1])};
    at::Tensor gradient = gradients[0].contiguous(kLast);
    const Shape shape = shape_of(x);
    const int64_t channels = shape.channels;
    const float *rows = table.const_data_ptr<float>(), *in = x.const_data_ptr<float>();
    const float *mean = rows + kMean * channels, *deviation = rows + kDeviation * channels,
                *factor = rows + kFactor * channels, *summand = rows + kSummand * channels;

    const float* arriving = gradient.const_data_ptr<float>();
    at::Tensor passed = keeps ? at::empty_like(gradient, gradient.options(), kLast) : gradient;
    const std::vector<double> sums =
        sum_up(shape, [&](int64_t from, int64_t positions, float* sum, float* product) {
          const int64_t at = from * channels;
          if (keeps) {
            add_kept_gradients(arriving + at, in + at, kept.const_data_ptr<float>() + at, positions, channels, bounds,
                               mean, sum, product, passed.data_ptr<float>() + at);
          } else {
            add_gradients(arriving + at, in + at, positions, channels, factor, summand, bounds, mean, sum, product);
          }
        });
    if (keeps) {
      // What passed has gone through the activation already.
      bounds = {-INFINITY, INFINITY};
    }

    at::Tensor of_weight = at::empty_like(weight), of_bias = at::empty_like(weight);
    std::vector<float> terms(3 * channels, 0.0f);
    const auto count = static_cast<double>(shape.positions);
    for (int64_t i = 0; i < channels; ++i) {
      of_weight.data_ptr<float>()[i] = static_cast<float>(sums[channels + i] * deviation[i]);
      of_bias.data_ptr<float>()[i] = static_cast<float>(sums[i]);
      terms[i] = factor[i];
      if (batch) {
        const double squared = static_cast<double>(deviation[i]) * deviation[i];
        terms[channels + i] = static_cast<float>(-factor[i] * squared * sums[channels + i] / count);
        terms[2 * channels + i] = static_cast<float>(-factor[i] * sums[i] / count);
      }
    }
    at::Tensor of_x;
    if (context->needs_input_grad(0)) {
      of_x = at::empty_like(x, x.options(), kLast);
      const float* from = passed.const_data_ptr<float>();
      float* out = of_x.data_ptr<float>();
      at::parallel_for(0, shape.positions, shape.grain(), [&](int64_t begin, int64_t end) {
        const int64_t at = begin * channels;
        combine(from + at, in + at, end - begin, channels, factor, summand, bounds, mean, terms.data(),
                terms.data() + channels, terms.data() + 2 * channels, out + at);
      });
    }
    const at::Tensor none;
    const bool passes = switches[2] && context->needs_input_grad(5);
    return {of_x, of_weight, of_bias, none, none, passes ? passed : none, none, none, none, none, none};
  }
};

}  // namespace
}  // namespace ferrite

extern "C" at::Tensor* ferrite_norm(const at::Tensor* x, const at::Tensor* other, const at::Tensor* weight,
                                    const at::Tensor* bias, const at::Tensor* mean, const at::Tensor* variance,
                                    bool batch, double momentum, double eps, double low, double high, char** error) {
  return ferrite::caught(error, [&] {
    return ferrite::Norm::apply(*x, *weight, *bias, *mean, *variance, ferrite::maybe(other), batch, momentum, eps,
                                low, high);
  });
}
