// A convolution is a product of the windows of the images and the weights. The windows are not written out: those of
// 32 output positions are copied when they are multiplied, a part of their values at a time, so that this part
// of the weights, the sums and the images stay in the second cache (Goto & van de Geijn 2008,
// https://doi.org/10.1145/1356052.1356053, for the order of the loops).

#include "tiled.h"

#include "windows.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

namespace ferrite::tiled {
namespace {

using tiles::kBlock;
using tiles::pieces;
using tiles::rounded_up;
using tiles::Start;

// Bytes of packed weights that are worked on at a time.
constexpr int64_t kWeightBytes = 512 << 10;

// Values of a window that are multiplied at once, so that 32 such parts stay in the first cache.
constexpr int64_t kMostDepth = 1024;

// Output columns that are computed at a time.
constexpr int64_t kMostColumns = 512;

// A part of a window's values: some channels at some offsets.
struct Part {
  int64_t first_offset, offsets, first_channel, channels;

  int64_t depth() const {
    return offsets * rounded_up(channels);
  }
};

// Blocks of up to 32 windows that are multiplied at once: as they lie in memory, or those at one place in several
// images.
class Blocks {
 public:
  const bool by_place;

  Blocks(const Windows& windows, int64_t offsets)
      : by_place(fewer_by_place(windows, offsets)), windows_(windows), of_place_(pieces(windows.images(), kBlock)) {}

  int64_t count() const {
    return by_place ? windows_.places() * of_place_ : pieces(windows_.positions(), kBlock);
  }

  int64_t rows(int64_t block) const {
    return by_place ? std::min(kBlock, windows_.images() - block % of_place_ * kBlock)
                    : std::min(kBlock, windows_.positions() - block * kBlock);
  }

  // The output position of a block's first window, and from each to the next.
  int64_t first(int64_t block) const {
    return by_place ? block % of_place_ * kBlock * windows_.places() + block / of_place_ : block * kBlock;
  }
  int64_t step() const {
    return by_place ? windows_.places() : 1;
  }

  // Whether its windows have values in the image at these offsets.
  bool sees(int64_t block, int64_t first_offset, int64_t offsets) const {
    for (int64_t offset = first_offset; by_place && offset < first_offset + offsets; ++offset) {
      if (windows_.sees(block / of_place_, offset)) {
        return true;
      }
    }
    return !by_place;
  }

  // Calls `see` as `Windows::each` does.
  template <typename See>
  void each(int64_t block, See see) const {
    if (by_place) {
      windows_.each_at(block / of_place_, block % of_place_ * kBlock, rows(block), see);
    } else {
      windows_.each(block * kBlock, rows(block), see);
    }
  }

 private:
  const Windows& windows_;
  const int64_t of_place_;
};

// Windows in parts of which `columns` columns of packed weights fill the cache; `alone` for one offset in each.
std::vector<Part> parts_of(int64_t offsets, int64_t channels, int64_t columns, bool alone) {
  const int64_t fitting = kWeightBytes / (2 * columns) / kBlock * kBlock;
  const int64_t most = std::clamp<int64_t>(fitting, kBlock, kMostDepth), deep = rounded_up(channels);
  const int64_t at_once = alone ? 1 : std::max<int64_t>(1, most / deep);
  const int64_t slices = pieces(deep, most), slice = rounded_up(pieces(channels, slices));
  std::vector<Part> parts;
  for (int64_t offset = 0; offset < offsets; offset += at_once) {
    for (int64_t channel = 0; channel < channels; channel += slice) {
      parts.push_back({offset, std::min(at_once, offsets - offset), channel, std::min(slice, channels - channel)});
    }
  }
  return parts;
}

// Weights as right matrices, one for each part and for each strip of columns.
struct Packed : Strips {
  const std::vector<Part> parts;

  // Packs by `pack(part, offset, first column, to)`, which packs sixteen columns of one offset.
  template <typename Pack>
  Packed(int64_t offsets, int64_t channels, int64_t columns, bool alone, Pack pack)
      : Strips(columns, std::min(kMostColumns, rounded_up(columns)), offsets * rounded_up(channels)),
        parts(parts_of(offsets, channels, strip, alone)) {
    at::parallel_for(0, rounded_up(columns) / 16, 1, [&](int64_t from, int64_t to) {
      for (int64_t column = 16 * from; column < 16 * to; column += 16) {
        int64_t before = 0;
        for (const Part& part : parts) {
          uint16_t* packed = place_of(column, before, part.depth());
          for (int64_t offset = 0; offset < part.offsets; ++offset) {
            pack(part, part.first_offset + offset, column, packed);
            packed += 16 * rounded_up(part.channels);
          }
          before += part.depth();
        }
      }
    });
  }
};

// What becomes of the sums.
struct Finish {
  const float* bias;
  Bounds bounds;

  // Writes the strip's columns of `rows` rows of the output, the first of which is at `out` and the next one `step`
  // rows behind it.
  void write(const float* sums, int64_t width, int64_t rows, const Packed& weights, int64_t strip, uint16_t* out,
             int64_t step) const {
    const int64_t column = strip * weights.strip, columns = std::min(weights.strip, weights.columns - column);
    tiles::operations().finish(sums, width, bias ? bias + column : nullptr, bounds.low, bounds.high, rows, columns,
                               out + column, step * weights.columns);
  }
};

// Copies this part of a block's windows.
void copy_windows(const Windows& windows, const Blocks& blocks, int64_t block, const Part& part, uint16_t* to,
                  int64_t stride) {
  const int64_t* steps = windows.steps();
  blocks.each(block, [&](int64_t index, const uint16_t* corner, int64_t top, int64_t left) {
    uint16_t* values = to + index * stride;
    const uint16_t* from = corner + part.first_channel;
    if (windows.inside(top, left)) {
      return tiles::operations().copy_rows(from, steps + part.first_offset, part.offsets, part.channels, values);
    }
    for (int64_t offset = part.first_offset; offset < part.first_offset + part.offsets; ++offset) {
      if (windows.inside(top, left, offset)) {
        tiles::operations().copy_rows(from, steps + offset, 1, part.channels, values);
      } else {
        tiles::operations().clear_row(part.channels, values);
      }
      values += rounded_up(part.channels);
    }
  });
}

// Writes `out`, `[positions, columns]`.
void convolve(const Windows& windows, const Blocks& blocks, const Packed& weights, Finish finish, uint16_t* out) {
  const int64_t count = blocks.count();
  int64_t deepest = 0;
  for (const Part& part : weights.parts) {
    deepest = std::max(deepest, part.depth());
  }
  // Where all values are multiplied at once, no sums wait for the next part.
  const int64_t waiting = weights.parts.size() == 1 ? 1 : kSumBytes / (4 * kBlock * weights.strip);
  const int64_t threads = at::get_num_threads(), fewest = pieces(count, waiting);
  const int64_t groups = std::min(count, rounded_up(fewest, threads)), together = pieces(count, groups);
  at::parallel_for(0, groups * weights.strips(), 1, [&](int64_t from, int64_t to) {
    const tiles::Unit unit;
    const int64_t stride = deepest + tiles::kGap;
    const Scratch<uint16_t> left(kBlock * stride);
    const Scratch<float> sums(together * kBlock * weights.strip);
    std::vector<Start> starts(together);
    for (int64_t job = from; job < to; ++job) {
      const int64_t strip = job / groups, width = weights.width(strip);
      const int64_t first = job % groups * together, last = std::min(count, first + together);
      const auto of_block = [&](int64_t block) { return sums + (block - first) * kBlock * width; };
      std::fill(starts.begin(), starts.end(), Start::kZero);
      int64_t before = 0;
      for (const Part& part : weights.parts) {
        for (int64_t block = first; block < last; ++block) {
          if (!blocks.sees(block, part.first_offset, part.offsets)) {
            continue;
          }
          copy_windows(windows, blocks, block, part, left + 0, stride);
          Start& start = starts[block - first];
          unit.product({left + 0, stride, nullptr, blocks.rows(block)},
                       {weights.at(strip, before), part.depth(), width}, of_block(block), start);
          start = Start::kSums;
        }
        before += part.depth();
      }
      for (int64_t block = first; block < last; ++block) {
        finish.write(of_block(block), width, blocks.rows(block), weights, strip,
                     out + blocks.first(block) * weights.columns, blocks.step());
      }
    }
  });
}

}  // namespace

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& shift, Geometry geometry,
                   Bounds bounds) {
  const at::Tensor seen = x.contiguous(kLast), kernels = kernels_of(weight);
  const Images images(seen);
  const int64_t kernel = weight.size(2), columns = weight.size(0), offsets = kernel * kernel;
  const Windows windows(images, kernel, geometry.stride, geometry.padding, geometry.out_side(images.height, kernel),
                        geometry.out_side(images.width, kernel));
  const float* values = values_of<float>(kernels);
  const int64_t stride = offsets * images.channels;
  const Blocks blocks(windows, offsets);
  const Packed packed(offsets, images.channels, columns, blocks.by_place,
                      [&](const Part& part, int64_t offset, int64_t column, uint16_t* to) {
                        const float* from = values + column * stride + offset * images.channels + part.first_channel;
                        tiles::operations().pack_columns(from, stride, part.channels, columns - column, to);
                      });
  const at::Tensor out = images_like(x, columns, windows.out_height, windows.out_width);
  convolve(windows, blocks, packed, {shift ? values_of<float>(*shift) : nullptr, bounds}, changed<uint16_t>(out));
  return out;
}

// It is the convolution of the output's gradient with the weights turned around.
at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight, Geometry geometry, int64_t height,
                          int64_t width) {
  const at::Tensor seen = gradient.contiguous(kLast), kernels = kernels_of(weight);
  const Images images(seen);
  const int64_t kernel = weight.size(2), columns = weight.size(1), offsets = kernel * kernel;
  const bool sparse = geometry.stride > 1;
  const Windows windows(images, kernel, 1, kernel - 1 - geometry.padding, sparse ? images.height : height,
                        sparse ? images.width : width);
  const float* values = values_of<float>(kernels);
  const int64_t stride = offsets * columns;
  const Blocks blocks(windows, offsets);
  const Packed packed(offsets, images.channels, columns, blocks.by_place,
                      [&](const Part& part, int64_t offset, int64_t column, uint16_t* to) {
                        const float* from =
                            values + part.first_channel * stride + (offsets - 1 - offset) * columns + column;
                        tiles::operations().pack_rows(from, stride, part.channels, columns - column, to);
                      });
  const at::Tensor out = images_like(gradient, columns, windows.out_height, windows.out_width);
  convolve(windows, blocks, packed, {nullptr, {-kEndless, kEndless}}, changed<uint16_t>(out));
  if (!sparse) {
    return out;
  }
  // Windows of one position see every second one; the others have no gradient.
  const at::Tensor whole =
      at::zeros({gradient.size(0), columns, height, width}, gradient.options().memory_format(kLast));
  whole.slice(2, 0, c10::nullopt, geometry.stride).slice(3, 0, c10::nullopt, geometry.stride).copy_(out);
  return whole;
}

}  // namespace ferrite::tiled
