// The weights' gradient of depthwise convolutions on a processor, in 32 bits and in bfloat16.
//
// oneDNN has good kernels for windows of 3x3. Of wider ones it computes this gradient 10 to 400 times as slowly as the
// others (docs/benchmarks.md). With the channels last in memory it is a sum of products of a few channels at a time, which
// stays in registers.

#include "depthwise.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <type_traits>
#include <vector>

namespace ferrite::depthwise {
namespace {

// Channels whose sums are made at a time.
constexpr int64_t kChannels = 32;

// As a number that compilers know.
using All = std::integral_constant<int64_t, kChannels>;

// An image, and what a window makes of it.
struct Sides {
  int64_t height, width, out_height, out_width, channels, kernel;
};

struct Range {
  int64_t begin, end;
};

// The offsets of a window at `first` that lie inside of an image of `side` pixels.
FERRITE_INLINE Range seen(int64_t first, int64_t kernel, int64_t side) {
  return {std::max<int64_t>(0, -first), std::min(kernel, side - first)};
}

// The output positions whose window has a pixel of an image of `side` pixels at `offset`.
FERRITE_INLINE Range seeing(int64_t offset, int64_t side, int64_t out_side, Geometry geometry) {
  const int64_t stride = geometry.stride, before = geometry.padding - offset, last = side - 1 + before;
  return {before > 0 ? (before + stride - 1) / stride : 0, last < 0 ? 0 : std::min(out_side, last / stride + 1)};
}

// Adds products to the sums of `count` channels.
template <typename Count, typename Value>
FERRITE_INLINE void add_products(Count count, const Value* __restrict left, const Value* __restrict right,
                                 float* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) {
    sums[i] += widen(left[i]) * widen(right[i]);
  }
}

// The products of an image and its output's gradient.
template <typename Value>
struct Pair {
  const Value *gradient, *image;
  Sides sides;
  Geometry geometry;
};

// Adds those of `count` channels from `channel` on to the sums of each place of the window, `kChannels` apart.
template <typename Count, typename Value>
FERRITE_INLINE void add_channels(Count count, const Pair<Value>& pair, int64_t channel, float* sums) {
  const auto [height, width, out_height, out_width, channels, kernel] = pair.sides;
  const int64_t stride = pair.geometry.stride, padding = pair.geometry.padding;
  for (int64_t row = 0; row < out_height; ++row) {
    const int64_t top = row * stride - padding;
    const Range rows = seen(top, kernel, height);
    for (int64_t y = rows.begin; y < rows.end; ++y) {
      for (int64_t x = 0; x < kernel; ++x) {
        const Range columns = seeing(x, width, out_width, pair.geometry);
        float own[kChannels];
        float* place = sums + (y * kernel + x) * kChannels;
        std::copy(place, place + count, own);
        for (int64_t column = columns.begin; column < columns.end; ++column) {
          const int64_t seen_column = column * stride - padding + x;
          add_products(count, pair.gradient + (row * out_width + column) * channels + channel,
                       pair.image + ((top + y) * width + seen_column) * channels + channel, own);
        }
        std::copy(own, own + count, place);
      }
    }
  }
}

template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void add_image(const Pair<Value>& pair, int64_t channel, int64_t count, float* sums) {
  if (count == kChannels) {
    add_channels(All{}, pair, channel, sums);
  } else {
    add_channels(count, pair, channel, sums);
  }
}

}  // namespace

at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry) {
  const at::Tensor in = x.contiguous(kLast), of_out = gradient.contiguous(kLast);
  const int64_t channels = x.size(1), places = kernel * kernel;
  const Sides sides{x.size(2), x.size(3), gradient.size(2), gradient.size(3), channels, kernel};
  const at::Tensor out = at::empty({channels, kernel, kernel, 1}, x.options().dtype(at::kFloat));
  float* of_weight = changed<float>(out);
  for_type_of(in, [&](auto value) {
    using Value = decltype(value);
    const int64_t image = sides.height * sides.width * channels, of_image = sides.out_height * sides.out_width * channels;
    at::parallel_for(0, (channels + kChannels - 1) / kChannels, 1, [&](int64_t from, int64_t to) {
      std::vector<float> block(places * kChannels);
      std::vector<double> sums(places * kChannels);
      for (int64_t channel = from * kChannels; channel < std::min(channels, to * kChannels); channel += kChannels) {
        const int64_t count = std::min(kChannels, channels - channel);
        std::fill(sums.begin(), sums.end(), 0.0);
        for (int64_t index = 0; index < x.size(0); ++index) {
          std::fill(block.begin(), block.end(), 0.0f);
          add_image(Pair<Value>{values_of<Value>(of_out) + index * of_image, values_of<Value>(in) + index * image, sides,
                                geometry},
                    channel, count, block.data());
          std::transform(block.begin(), block.end(), sums.begin(), sums.begin(),
                         [](float one, double all) { return all + one; });
        }
        for (int64_t i = 0; i < count; ++i) {
          for (int64_t place = 0; place < places; ++place) {
            of_weight[(channel + i) * places + place] = static_cast<float>(sums[place * kChannels + i]);
          }
        }
      }
    });
  });
  return out.permute({0, 3, 1, 2});
}

}  // namespace ferrite::depthwise
