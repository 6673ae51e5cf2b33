// Each of the sixteen products is one of matrices: of the windows, transformed, by their channels and of the channels
// by the columns. A strip of columns is chosen so narrow that its weights stay in the second cache while all windows of
// a group pass by.

#include "winograd.h"

#include "memory.h"
#include "transforms.h"

#include <algorithm>

namespace ferrite::winograd {
namespace {

using tiles::kBlock;
using tiles::kTile;
using tiles::pieces;
using tiles::rounded_up;
using transforms::kOut;
using transforms::kProducts;
using transforms::kSide;

constexpr int64_t kKernel = 3;

// Bytes of transformed weights of a strip, and of transformed windows of a group.
constexpr int64_t kWeightBytes = 1 << 20;
constexpr int64_t kWindowBytes = 1 << 20;

// Transformed weights: for each strip and product a right matrix of `deep` rows.
struct Weights : Strips {
  const int64_t deep;

  // Transforms 32 rows of 16 columns by `transform(row, column, to)` and packs each product by `pack(from, row, column,
  // to)`.
  template <typename Transform, typename Pack>
  Weights(int64_t channels, int64_t columns, Transform transform, Pack pack)
      : Strips(columns, strip_of(rounded_up(channels), columns), kProducts * rounded_up(channels)),
        deep(rounded_up(channels)) {
    at::parallel_for(0, rounded_up(columns) / 16, 1, [&](int64_t from, int64_t to) {
      const Scratch<float> transformed(kProducts * kTile);
      for (int64_t column = 16 * from; column < 16 * to; column += 16) {
        for (int64_t row = 0; row < deep; row += kBlock) {
          transform(row, column, transformed + 0);
          for (int64_t product = 0; product < kProducts; ++product) {
            uint16_t* packed = place_of(column, product * deep, deep) + row / kBlock * kTile;
            pack(transformed + product * kTile, row, column, packed);
          }
        }
      }
    });
  }

 private:
  static int64_t strip_of(int64_t deep, int64_t columns) {
    return std::clamp(kWeightBytes / (2 * kProducts * deep) / kBlock * kBlock, kBlock, rounded_up(columns));
  }
};

// Windows of four by four positions, each for two by two of the output.
class Windows {
 public:
  Windows(const Images& images, int64_t padding, int64_t out_height, int64_t out_width)
      : images_(images),
        padding_(padding),
        out_height_(out_height),
        out_width_(out_width),
        down_(pieces(out_height, kOut)),
        across_(pieces(out_width, kOut)),
        nothing_(images.channels) {
    std::fill_n(nothing_ + 0, images.channels, uint16_t{0});
  }

  int64_t count() const {
    return images_.count * down_ * across_;
  }

  // Where the positions lie that a window sees; those beyond the image are 0.
  void seen(int64_t window, const uint16_t* (&places)[kProducts]) const {
    const int64_t image = window / (down_ * across_);
    const int64_t top = window / across_ % down_ * kOut - padding_, left = window % across_ * kOut - padding_;
    for (int64_t place = 0; place < kProducts; ++place) {
      const int64_t row = top + place / kSide, column = left + place % kSide;
      const bool inside = row >= 0 && row < images_.height && column >= 0 && column < images_.width;
      places[place] = inside
          ? images_.values + ((image * images_.height + row) * images_.width + column) * images_.channels
          : nothing_ + 0;
    }
  }

  // Where its output positions lie in `out`, of `columns` channels; null beyond the image.
  void written(int64_t window, uint16_t* out, int64_t columns, uint16_t* (&places)[kOut * kOut]) const {
    const int64_t image = window / (down_ * across_);
    const int64_t top = window / across_ % down_ * kOut, left = window % across_ * kOut;
    for (int64_t place = 0; place < kOut * kOut; ++place) {
      const int64_t row = top + place / kOut, column = left + place % kOut;
      const bool inside = row < out_height_ && column < out_width_;
      places[place] = inside ? out + ((image * out_height_ + row) * out_width_ + column) * columns : nullptr;
    }
  }

 private:
  const Images& images_;
  const int64_t padding_, out_height_, out_width_, down_, across_;
  const Scratch<uint16_t> nothing_;
};

// Writes `out`, `[windows' positions, columns]`.
void convolve(const Windows& windows, int64_t channels, const Weights& weights, const float* shift, Bounds bounds,
              uint16_t* out) {
  // The matrices of the sixteen products do not lie a power of two apart, either: a window's values go to all of them.
  const int64_t stride = weights.deep + tiles::kGap, matrix = kBlock * stride + tiles::kGap;
  const int64_t step = kBlock * weights.strip + tiles::kGap;
  const int64_t blocks = pieces(windows.count(), kBlock), threads = at::get_num_threads();
  const int64_t most = std::max<int64_t>(1, kWindowBytes / (2 * kProducts * matrix));
  const int64_t groups = std::min(blocks, rounded_up(pieces(blocks, most), threads)), together = pieces(blocks, groups);
  at::parallel_for(0, groups, 1, [&](int64_t from, int64_t to) {
    const tiles::Unit unit;
    const Scratch<uint16_t> seen(together * kProducts * matrix);
    const Scratch<float> sums(kProducts * step);
    const uint16_t* places[kProducts];
    uint16_t* written[kOut * kOut];
    for (int64_t group = from; group < to; ++group) {
      const int64_t first = group * together * kBlock, last = std::min(windows.count(), first + together * kBlock);
      for (int64_t window = first; window < last; ++window) {
        const int64_t block = (window - first) / kBlock, row = (window - first) % kBlock;
        windows.seen(window, places);
        transforms::operations().of_window(places, channels, seen + (block * kProducts * matrix + row * stride),
                                           matrix);
      }
      for (int64_t strip = 0; strip < weights.strips(); ++strip) {
        const int64_t width = weights.width(strip), column = strip * weights.strip;
        const int64_t columns = std::min(width, weights.columns - column);
        for (int64_t block = first; block < last; block += kBlock) {
          const int64_t count = std::min(kBlock, last - block);
          const uint16_t* left = seen + (block - first) / kBlock * kProducts * matrix;
          for (int64_t product = 0; product < kProducts; ++product) {
            unit.product({left + product * matrix, stride, nullptr, count},
                         {weights.at(strip, product * weights.deep), weights.deep, width}, sums + product * step,
                         tiles::Start::kZero);
          }
          for (int64_t row = 0; row < count; ++row) {
            windows.written(block + row, out + column, weights.columns, written);
            transforms::operations().of_sums(sums + row * width, step, shift ? shift + column : nullptr, bounds.low,
                                             bounds.high, columns, written);
          }
        }
      }
    }
  });
}

}  // namespace

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& shift, Geometry geometry,
                   Bounds bounds) {
  const at::Tensor seen = x.contiguous(kLast), kernels = kernels_of(weight);
  const Images images(seen);
  const int64_t columns = weight.size(0), channels = images.channels, stride = kKernel * kKernel * channels;
  const int64_t height = geometry.out_side(images.height, kKernel), width = geometry.out_side(images.width, kKernel);
  const float* values = values_of<float>(kernels);
  const auto transform = [&](int64_t row, int64_t column, float* to) {
    for (int64_t i = 0; i < std::min<int64_t>(16, columns - column); ++i) {
      const float* from = values + (column + i) * stride + row;
      transforms::operations().of_kernels(from, channels, std::min(kBlock, channels - row), to + i * kBlock, kTile);
    }
  };
  const auto pack = [&](const float* from, int64_t row, int64_t column, uint16_t* to) {
    tiles::operations().pack_columns(from, kBlock, std::min(kBlock, channels - row), columns - column, to);
  };
  const Weights weights(channels, columns, transform, pack);
  const at::Tensor out = images_like(x, columns, height, width);
  const float* behind = shift ? values_of<float>(*shift) : nullptr;
  convolve({images, geometry.padding, height, width}, channels, weights, behind, bounds, changed<uint16_t>(out));
  return out;
}

// It is the convolution of the output's gradient with the weights turned around.
at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight, Geometry geometry, int64_t height,
                          int64_t width) {
  const at::Tensor seen = gradient.contiguous(kLast), kernels = kernels_of(weight);
  const Images images(seen);
  const int64_t columns = weight.size(1), channels = images.channels, taps = kKernel * kKernel;
  const float* values = values_of<float>(kernels);
  const auto transform = [&](int64_t row, int64_t column, float* to) {
    for (int64_t i = 0; i < std::min(kBlock, channels - row); ++i) {
      const float* from = values + ((row + i) * taps + taps - 1) * columns + column;
      transforms::operations().of_kernels(from, -columns, std::min<int64_t>(16, columns - column), to + i * 16, kTile);
    }
  };
  const auto pack = [&](const float* from, int64_t row, int64_t column, uint16_t* to) {
    tiles::operations().pack_rows(from, 16, std::min(kBlock, channels - row), columns - column, to);
  };
  const Weights weights(channels, columns, transform, pack);
  const at::Tensor out = images_like(gradient, columns, height, width);
  convolve({images, kKernel - 1 - geometry.padding, height, width}, channels, weights, nullptr, {-kEndless, kEndless},
           changed<uint16_t>(out));
  return out;
}

}  // namespace ferrite::winograd
