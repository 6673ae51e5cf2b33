// Maximum pooling on a processor, with the channels last in memory.
//
// For the backward pass LibTorch keeps where each maximum lies in 64 bits, four times what the output takes in
// bfloat16. Here it is a byte: its place in the window. A gradient is gathered from the windows over each position, so
// that it is written once.

#include "shared.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <vector>

namespace ferrite {

struct Window {
  int64_t kernel, stride, padding;
};

namespace {

// Channels whose maxima are held at a time.
constexpr int64_t kTogether = 64;

// Windows have at most so many places.
constexpr int64_t kMostPlaces = 256;

// Some neighbours along one side.
struct Range {
  int64_t begin, end;
};

// What the window of an output position sees of a side.
Range seen_from(int64_t position, int64_t side, Window window) {
  const int64_t begin = position * window.stride - window.padding;
  return {std::max<int64_t>(0, begin), std::min(side, begin + window.kernel)};
}

// The output positions along a side that see a position.
Range seeing(int64_t position, int64_t out_side, Window window) {
  const int64_t last = position + window.padding, first = last - window.kernel + 1;
  const int64_t begin = first <= 0 ? 0 : (first + window.stride - 1) / window.stride;
  return {begin, std::min(out_side, last / window.stride + 1)};
}

// The maxima of one window at `out`, and their places in it. `in` is the image, of `width` positions a row.
template <typename Value>
FERRITE_INLINE void largest(const Value* __restrict in, int64_t width, int64_t channels, Range rows, Range columns,
                            int64_t first_place, int64_t kernel, Value* __restrict out, uint8_t* __restrict places) {
  for (int64_t channel = 0; channel < channels; channel += kTogether) {
    const int64_t count = std::min(kTogether, channels - channel);
    float most[kTogether];
    int32_t where[kTogether];
    std::fill(most, most + kTogether, -kEndless);
    std::fill(where, where + kTogether, static_cast<int32_t>(first_place));
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      for (int64_t column = columns.begin; column < columns.end; ++column) {
        const Value* values = in + (row * width + column) * channels + channel;
        const auto place = static_cast<int32_t>(first_place + (row - rows.begin) * kernel + column - columns.begin);
        for (int64_t i = 0; i < count; ++i) {
          const float value = widen(values[i]);
          // What is not a number stays so.
          const bool more = (value > most[i]) | (value != value);
          most[i] = more ? value : most[i];
          where[i] = more ? place : where[i];
        }
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      narrow(most[i], out[channel + i]);
      places[channel + i] = static_cast<uint8_t>(where[i]);
    }
  }
}

// Adds to `sums` the gradient of an output position whose maximum lies at `place`.
template <typename Value>
FERRITE_INLINE void gather(const Value* __restrict gradient, const uint8_t* __restrict places, int64_t place,
                           int64_t channels, float* __restrict sums) {
  const auto own = static_cast<uint8_t>(place);
  for (int64_t i = 0; i < channels; ++i) {
    sums[i] += places[i] == own ? widen(gradient[i]) : 0.0f;
  }
}

// An image, and what a window makes of it.
struct Sides {
  int64_t height, width, out_height, out_width, channels;
};

template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void pool(const Value* in, Sides sides, Window window, int64_t row, Value* out,
                                     uint8_t* places) {
  const Range rows = seen_from(row, sides.height, window);
  const int64_t above = rows.begin - (row * window.stride - window.padding);
  for (int64_t column = 0; column < sides.out_width; ++column, out += sides.channels, places += sides.channels) {
    const Range columns = seen_from(column, sides.width, window);
    const int64_t before = columns.begin - (column * window.stride - window.padding);
    largest(in, sides.width, sides.channels, rows, columns, above * window.kernel + before, window.kernel, out, places);
  }
}

template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void pool_gradient(const Value* gradient, const uint8_t* places, Sides sides, Window window,
                                              int64_t row, float* sums, Value* out) {
  const Range rows = seeing(row, sides.out_height, window);
  for (int64_t column = 0; column < sides.width; ++column, out += sides.channels) {
    const Range columns = seeing(column, sides.out_width, window);
    std::fill(sums, sums + sides.channels, 0.0f);
    for (int64_t y = rows.begin; y < rows.end; ++y) {
      for (int64_t x = columns.begin; x < columns.end; ++x) {
        const int64_t down = row + window.padding - y * window.stride,
                      right = column + window.padding - x * window.stride;
        const int64_t at = (y * sides.out_width + x) * sides.channels;
        gather(gradient + at, places + at, down * window.kernel + right, sides.channels, sums);
      }
    }
    for (int64_t i = 0; i < sides.channels; ++i) {
      narrow(sums[i], out[i]);
    }
  }
}

// What a maximum pooling is besides its tensors.
struct Settings {
  Window window;
  Sides sides;
};

struct MaxPool : torch::autograd::Function<MaxPool> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, Window window) {
    const auto [kernel, stride, padding] = window;
    TORCH_CHECK(kernel * kernel <= kMostPlaces && 2 * padding <= kernel, "no window of ", kernel, " with padding ",
                padding);
    const at::Tensor in = x.contiguous(kLast);
    const Sides sides{x.size(2), x.size(3), out_side(x.size(2), kernel, stride, padding),
                      out_side(x.size(3), kernel, stride, padding), x.size(1)};
    TORCH_CHECK(sides.out_height > 0 && sides.out_width > 0, "images of ", x.size(2), "x", x.size(3),
                " hold no window of ", kernel);
    const at::Tensor out =
        at::empty({x.size(0), sides.channels, sides.out_height, sides.out_width}, in.options().memory_format(kLast));
    const at::Tensor places = at::empty_like(out, out.options().dtype(at::kByte), kLast);
    for_type_of(in, [&](auto value) {
      using Value = decltype(value);
      at::parallel_for(0, x.size(0) * sides.out_height, 1, [&](int64_t from, int64_t to) {
        for (int64_t line = from; line < to; ++line) {
          const int64_t image = line / sides.out_height, at = line * sides.out_width * sides.channels;
          const Value* values = values_of<Value>(in) + image * sides.height * sides.width * sides.channels;
          pool(values, sides, window, line % sides.out_height, changed<Value>(out) + at, changed<uint8_t>(places) + at);
        }
      });
    });
    context->save_for_backward({places});
    keep(context, Settings{window, sides});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::Tensor places = context->get_saved_variables()[0], gradient = gradients[0].contiguous(kLast);
    const auto settings = kept<Settings>(context);
    const Window window = settings.window;
    const Sides sides = settings.sides;
    const at::Tensor of_x = at::empty({gradient.size(0), sides.channels, sides.height, sides.width},
                                      gradient.options().memory_format(kLast));
    for_type_of(gradient, [&](auto value) {
      using Value = decltype(value);
      at::parallel_for(0, gradient.size(0) * sides.height, 1, [&](int64_t from, int64_t to) {
        std::vector<float> sums(sides.channels);
        for (int64_t line = from; line < to; ++line) {
          const int64_t before = line / sides.height * sides.out_height * sides.out_width * sides.channels;
          pool_gradient(values_of<Value>(gradient) + before, values_of<uint8_t>(places) + before, sides, window,
                        line % sides.height, sums.data(), changed<Value>(of_x) + line * sides.width * sides.channels);
        }
      });
    });
    return {of_x, at::Tensor()};
  }
};

}  // namespace

// What mod.rs calls with; it has the same structure.
struct PoolCall {
  const at::Tensor* x;
  Window window;
};

}  // namespace ferrite

extern "C" at::Tensor* ferrite_max_pool(const ferrite::PoolCall* call, char** error) {
  return ferrite::caught(error, [&] { return ferrite::MaxPool::apply(*call->x, call->window); });
}
