// A convolution is a product of the windows of the images and the weights. The windows are not written out: those of
// 32 output positions are copied when they are multiplied, a part of their values at a time, so that this part
// of the weights, the sums and the images stay in the second cache (Goto & van de Geijn 2008,
// https://doi.org/10.1145/1356052.1356053, for the order of the loops).

#include "tiled.h"

#include "memory.h"
#include "winograd.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ferrite::tiled {
namespace {

using tiles::kBlock;
using tiles::pieces;
using tiles::rounded_up;

// Bytes of packed weights, of sums and of packed rows that are worked on at a time: together they fill the second cache.
constexpr int64_t kWeightBytes = 512 << 10;
constexpr int64_t kSumBytes = 768 << 10;

// Values of a window that are multiplied at once, so that 32 such parts stay in the first cache.
constexpr int64_t kMostDepth = 1024;

// Output columns that are computed at a time.
constexpr int64_t kMostColumns = 512;

// Positions that a weight gradient adds up at a time, and its columns.
constexpr int64_t kPositions = 512;
constexpr int64_t kGradientColumns = 256;

// Fewer channels fill no tile.
constexpr int64_t kFewestChannels = 16;

// Where these products win over oneDNN's kernels, which are made for large images (docs/benchmarks.md): always for images
// of so few positions, for some more where a weight has many channels, and for the weight gradient of most.
constexpr int64_t kTinyImage = 16;
constexpr int64_t kSmallImage = 36;
constexpr int64_t kManyChannels = 1 << 17;
constexpr int64_t kMiddlingImage = 144;

// The windows of a convolution on some images, by output position.
class Windows {
 public:
  const int64_t out_height, out_width;

  Windows(const Images& images, int64_t kernel, int64_t stride, int64_t padding, int64_t out_height, int64_t out_width)
      : out_height(out_height), out_width(out_width), images_(images), kernel_(kernel), stride_(stride), padding_(padding) {
    for (int64_t offset = 0; offset < kernel * kernel; ++offset) {
      steps_.push_back((offset / kernel * images.width + offset % kernel) * images.channels);
    }
  }

  int64_t places() const {
    return out_height * out_width;
  }

  int64_t positions() const {
    return images_.count * places();
  }

  int64_t images() const {
    return images_.count;
  }

  // Whether a window at a place of the output has a value in the image at `offset`.
  bool sees(int64_t place, int64_t offset) const {
    return inside(place / out_width * stride_ - padding_, place % out_width * stride_ - padding_, offset);
  }

  // Calls `see(index, corner, row, column)` for `count` output positions from `first` on: where the window's
  // first value would lie, and its place in the image.
  template <typename See>
  void each(int64_t first, int64_t count, See see) const {
    int64_t image = first / (out_height * out_width), row = first / out_width % out_height, column = first % out_width;
    for (int64_t index = 0; index < count; ++index) {
      const int64_t top = row * stride_ - padding_, left = column * stride_ - padding_;
      see(index, images_.values + ((image * images_.height + top) * images_.width + left) * images_.channels, top, left);
      if (++column == out_width) {
        column = 0;
        if (++row == out_height) {
          row = 0;
          ++image;
        }
      }
    }
  }

  // The same for one place in `count` images from `first` on.
  template <typename See>
  void each_at(int64_t place, int64_t first, int64_t count, See see) const {
    const int64_t top = place / out_width * stride_ - padding_, left = place % out_width * stride_ - padding_;
    const int64_t image = images_.height * images_.width * images_.channels;
    const uint16_t* corner = images_.values + first * image + (top * images_.width + left) * images_.channels;
    for (int64_t index = 0; index < count; ++index, corner += image) {
      see(index, corner, top, left);
    }
  }

  // Whether a window at this place lies in the image as a whole.
  bool inside(int64_t top, int64_t left) const {
    return top >= 0 && left >= 0 && top + kernel_ <= images_.height && left + kernel_ <= images_.width;
  }

  // Whether its value at `offset` does.
  bool inside(int64_t top, int64_t left, int64_t offset) const {
    const int64_t row = top + offset / kernel_, column = left + offset % kernel_;
    return row >= 0 && row < images_.height && column >= 0 && column < images_.width;
  }

  // From a window's first value to that at each offset.
  const int64_t* steps() const {
    return steps_.data();
  }

 private:
  const Images& images_;
  const int64_t kernel_, stride_, padding_;
  std::vector<int64_t> steps_;
};

// A part of a window's values: some channels at some offsets.
struct Part {
  int64_t first_offset, offsets, first_channel, channels;

  int64_t depth() const {
    return offsets * rounded_up(channels);
  }
};

// Whether there is less to multiply where windows at the same place in several images stand together: they have the same
// values beyond the image, which then need not be multiplied: of a padded image of three by three positions 32 of 81.
// With few images blocks are not full, and for a tenth it is not worth more and smaller products.
bool fewer_by_place(const Windows& windows, int64_t offsets) {
  int64_t seen = 0;
  for (int64_t place = 0; place < windows.places(); ++place) {
    for (int64_t offset = 0; offset < offsets; ++offset) {
      seen += windows.sees(place, offset);
    }
  }
  return 10 * pieces(windows.images(), kBlock) * seen < 9 * pieces(windows.positions(), kBlock) * offsets;
}

// Blocks of up to 32 windows that are multiplied at once: as they lie in memory, or those at one place in several images.
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
struct Packed {
  std::vector<Part> parts;
  int64_t columns, strip, depth;
  Scratch<uint16_t> values;

  // Packs by `pack(part, offset, first column, to)`, which packs sixteen columns of one offset.
  template <typename Pack>
  Packed(int64_t offsets, int64_t channels, int64_t columns, bool alone, Pack pack)
      : parts(parts_of(offsets, channels, std::min(kMostColumns, rounded_up(columns)), alone)),
        columns(columns),
        strip(std::min(kMostColumns, rounded_up(columns))),
        depth(depth_of(parts)),
        values(rounded_up(columns, strip) * depth) {
    at::parallel_for(0, rounded_up(columns) / 16, 1, [&](int64_t from, int64_t to) {
      for (int64_t group = from; group < to; ++group) {
        const int64_t column = 16 * group, place = column / strip, within = column % strip;
        int64_t before = 0;
        for (const Part& part : parts) {
          uint16_t* packed = values + (place * strip * depth + width(place) * before + within * part.depth());
          for (int64_t offset = 0; offset < part.offsets; ++offset) {
            pack(part, part.first_offset + offset, column, packed);
            packed += 16 * rounded_up(part.channels);
          }
          before += part.depth();
        }
      }
    });
  }

  int64_t strips() const {
    return pieces(columns, strip);
  }

  // Columns of a strip, in whole blocks.
  int64_t width(int64_t place) const {
    return std::min(strip, rounded_up(columns) - place * strip);
  }

  // The right matrix of a strip and the part with `before` values before it.
  const uint16_t* at(int64_t place, int64_t before) const {
    return values + (place * strip * depth + width(place) * before);
  }

 private:
  static int64_t depth_of(const std::vector<Part>& parts) {
    int64_t depth = 0;
    for (const Part& part : parts) {
      depth += part.depth();
    }
    return depth;
  }
};

// What becomes of the sums.
struct Finish {
  const float* bias;
  Bounds bounds;

  // Writes the strip's columns of `rows` rows of the output, the first of which is at `out` and the next one `step` rows
  // behind it.
  void write(const float* sums, int64_t width, int64_t rows, const Packed& weights, int64_t strip, uint16_t* out,
             int64_t step) const {
    const int64_t column = strip * weights.strip, columns = std::min(weights.strip, weights.columns - column);
    tiles::finish(sums, width, bias ? bias + column : nullptr, bounds.low, bounds.high, rows, columns, out + column,
                  step * weights.columns);
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
      return tiles::copy_rows(from, steps + part.first_offset, part.offsets, part.channels, values);
    }
    for (int64_t offset = part.first_offset; offset < part.first_offset + part.offsets; ++offset) {
      if (windows.inside(top, left, offset)) {
        tiles::copy_rows(from, steps + offset, 1, part.channels, values);
      } else {
        tiles::clear_row(part.channels, values);
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
    std::vector<char> begun(together);
    for (int64_t job = from; job < to; ++job) {
      const int64_t strip = job / groups, width = weights.width(strip);
      const int64_t first = job % groups * together, last = std::min(count, first + together);
      const auto of_block = [&](int64_t block) { return sums + (block - first) * kBlock * width; };
      std::fill(begun.begin(), begun.end(), false);
      int64_t before = 0;
      for (const Part& part : weights.parts) {
        for (int64_t block = first; block < last; ++block) {
          if (!blocks.sees(block, part.first_offset, part.offsets)) {
            continue;
          }
          copy_windows(windows, blocks, block, part, left + 0, stride);
          char& add = begun[block - first];
          tiles::product(left + 0, stride, weights.at(strip, before), of_block(block), part.depth(), width, add,
                         blocks.rows(block) <= 16);
          add = true;
        }
        before += part.depth();
      }
      for (int64_t block = first; block < last; ++block) {
        finish.write(of_block(block), width, blocks.rows(block), weights, strip, out + blocks.first(block) * weights.columns,
                     blocks.step());
      }
    }
  });
}

// The output's positions in chunks of up to 512: as they lie in memory, or by place, each place's images rounded up to 32.
class Chunks {
 public:
  const bool by_place;

  Chunks(const Windows& windows, int64_t offsets)
      : by_place(fewer_by_place(windows, offsets) && windows.images() <= kPositions),
        windows_(windows),
        of_place_(rounded_up(windows.images())),
        places_(std::min(windows.places(), kPositions / of_place_)) {}

  int64_t count() const {
    return by_place ? pieces(windows_.places(), places_) : pieces(windows_.positions(), kPositions);
  }

  // Writes the transposed of the chunk's rows of `gradients`.
  void transpose(int64_t chunk, const uint16_t* gradients, int64_t rows, uint16_t* to, int64_t stride) const {
    if (!by_place) {
      const int64_t first = chunk * kPositions, count = std::min(kPositions, windows_.positions() - first);
      return tiles::transpose(gradients + first * rows, rows, count, rows, to, stride);
    }
    for (int64_t index = 0; index < places_in(chunk); ++index) {
      const uint16_t* from = gradients + (chunk * places_ + index) * rows;
      tiles::transpose(from, windows_.places() * rows, windows_.images(), rows, to + index * of_place_, stride);
    }
  }

  // A right matrix of the windows' values at `offset`, of `columns` from `column` on, and where in a row of the transposed
  // gradients the positions begin that each 32 of its rows belong to.
  void pack(int64_t chunk, int64_t offset, int64_t column, int64_t columns, uint16_t* to, std::vector<int64_t>& steps) const {
    steps.clear();
    const uint16_t* seen[kPositions];
    const auto see = [&](int64_t index, const uint16_t* corner, int64_t top, int64_t left) {
      seen[index] = windows_.inside(top, left, offset) ? corner + windows_.steps()[offset] : nullptr;
    };
    const auto pack_seen = [&](int64_t count, int64_t depth, int64_t before) {
      for (int64_t group = 0; group < rounded_up(columns); group += 16) {
        tiles::pack_rows(seen, column + group, count, columns - group, to + group * depth + 16 * before);
      }
    };
    if (!by_place) {
      const int64_t first = chunk * kPositions, count = std::min(kPositions, windows_.positions() - first);
      windows_.each(first, count, see);
      pack_seen(count, rounded_up(count), 0);
      for (int64_t step = 0; step < rounded_up(count); step += kBlock) {
        steps.push_back(step);
      }
      return;
    }
    for (int64_t index = 0; index < places_in(chunk); ++index) {
      for (int64_t step = 0; step < of_place_ && windows_.sees(chunk * places_ + index, offset); step += kBlock) {
        steps.push_back(index * of_place_ + step);
      }
    }
    const int64_t depth = steps.size() * kBlock;
    for (int64_t before = 0; before < depth; before += of_place_) {
      windows_.each_at(chunk * places_ + steps[before / kBlock] / of_place_, 0, windows_.images(), see);
      pack_seen(windows_.images(), depth, before);
    }
  }

 private:
  int64_t places_in(int64_t chunk) const {
    return std::min(places_, windows_.places() - chunk * places_);
  }

  const Windows& windows_;
  const int64_t of_place_, places_;
};

// The output's gradient as left matrices, one for each chunk of positions: a row for each channel.
class Transposed {
 public:
  // All at once, where several tasks read them, or each when it is asked for.
  Transposed(const uint16_t* gradients, int64_t rows, const Chunks& chunks, bool at_once)
      : gradients_(gradients), rows_(rows), chunks_(chunks), all_(at_once ? chunks.count() * values() : 0), at_once_(at_once) {
    if (at_once) {
      at::parallel_for(0, chunks.count(), 1, [&](int64_t from, int64_t to) {
        for (int64_t chunk = from; chunk < to; ++chunk) {
          write(chunk, all_ + chunk * values());
        }
      });
    }
  }

  static constexpr int64_t kStride = kPositions + tiles::kGap;

  // Values of a matrix.
  int64_t values() const {
    return rounded_up(rows_) * kStride;
  }

  // A chunk's matrix, which may be written to `place`.
  const uint16_t* at(int64_t chunk, uint16_t* place) const {
    if (at_once_) {
      return all_ + chunk * values();
    }
    write(chunk, place);
    return place;
  }

 private:
  void write(int64_t chunk, uint16_t* to) const {
    chunks_.transpose(chunk, gradients_, rows_, to, kStride);
  }

  const uint16_t* gradients_;
  const int64_t rows_;
  const Chunks& chunks_;
  const Scratch<uint16_t> all_;
  const bool at_once_;
};

// A weight gradient in tasks: some columns at some offsets, added up over a span of all positions.
struct Sums {
  int64_t rows, channels, offsets, width, strips, together, groups, spans;

  Sums(int64_t rows, int64_t channels, int64_t offsets, int64_t chunks) : rows(rows), channels(channels), offsets(offsets) {
    width = std::min(kGradientColumns, rounded_up(channels));
    strips = pieces(channels, width);
    together = std::clamp<int64_t>(kSumBytes / (4 * rounded_up(rows) * width), 1, offsets);
    groups = pieces(offsets, together);
    // Threads that find no columns of their own share the positions.
    spans = std::min(chunks, pieces(at::get_num_threads(), tasks_of_span()));
  }

  int64_t tasks_of_span() const {
    return groups * strips;
  }

  int64_t tasks() const {
    return tasks_of_span() * spans;
  }

  int64_t span_of(int64_t task) const {
    return task / tasks_of_span();
  }

  // Writes a task's sums into `values`, `[rows, offsets, channels]`.
  void add_up(int64_t task, const Transposed& gradients, const Chunks& chunks, float* values) const {
    const int64_t span = span_of(task), first_offset = task / strips % groups * together;
    const int64_t last_offset = std::min(offsets, first_offset + together), column = task % strips * width;
    const int64_t columns = std::min(width, channels - column), whole = rounded_up(columns);
    const int64_t first = chunks.count() * span / spans, last = chunks.count() * (span + 1) / spans;
    const int64_t of_offset = rounded_up(rows) * whole;
    const tiles::Unit unit;
    const Scratch<uint16_t> place(gradients.values()), right(kPositions * width);
    const Scratch<float> sums((last_offset - first_offset) * of_offset);
    std::vector<char> begun(last_offset - first_offset);
    std::vector<int64_t> steps;
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const uint16_t* left = gradients.at(chunk, place + 0);
      for (int64_t offset = first_offset; offset < last_offset; ++offset) {
        chunks.pack(chunk, offset, column, columns, right + 0, steps);
        if (steps.empty()) {
          continue;
        }
        char& add = begun[offset - first_offset];
        for (int64_t row = 0; row < rows; row += kBlock) {
          tiles::product(left + row * Transposed::kStride, Transposed::kStride, right + 0,
                         sums + ((offset - first_offset) * of_offset + row * whole), steps, whole, add, rows - row <= 16);
        }
        add = true;
      }
    }
    for (int64_t offset = first_offset; offset < last_offset; ++offset) {
      for (int64_t row = 0; row < rows; ++row) {
        float* to = values + (row * offsets + offset) * channels + column;
        if (begun[offset - first_offset]) {
          tiles::keep_row(sums + ((offset - first_offset) * of_offset + row * whole), columns, to);
        } else {
          std::fill_n(to, columns, 0.0f);
        }
      }
    }
  }
};

bool takes(const at::Tensor& x, const at::Tensor& weight, Geometry geometry) {
  return x.numel() > 0 && x.scalar_type() == at::kBFloat16 && geometry.groups == 1 && weight.size(1) >= kFewestChannels &&
      weight.size(0) >= kFewestChannels && available();
}

int64_t out_positions(const at::Tensor& x, const at::Tensor& weight, Geometry geometry) {
  return geometry.out_side(x.size(2), weight.size(2)) * geometry.out_side(x.size(3), weight.size(3));
}

}  // namespace

bool available() {
  return avx512() && tiles::available();
}

bool wins(const at::Tensor& x, const at::Tensor& weight, Geometry geometry) {
  if (!takes(x, weight, geometry)) {
    return false;
  }
  const int64_t positions = out_positions(x, weight, geometry);
  const bool many = weight.size(0) * weight.size(1) >= kManyChannels;
  return positions <= kTinyImage || (many && positions <= kSmallImage) || winograd::wins(weight, geometry, positions);
}

bool wins_weight_gradient(const at::Tensor& x, const at::Tensor& weight, Geometry geometry) {
  return takes(x, weight, geometry) &&
      (weight.size(2) == 1 || out_positions(x, weight, geometry) <= kMiddlingImage);
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& bias, Geometry geometry,
                   Bounds bounds) {
  // Rounded as for LibTorch's kernels, whose results these then are to the last bit but for the order of sums.
  const MaybeTensor shift =
      bias ? MaybeTensor(bias->detach().to(at::kBFloat16).to(at::kFloat).contiguous()) : std::nullopt;
  if (winograd::wins(weight, geometry, out_positions(x, weight, geometry))) {
    return winograd::forward(x, weight, shift, geometry, bounds);
  }
  const at::Tensor seen = x.contiguous(kLast), kernels = kernels_of(weight);
  const Images images(seen);
  const int64_t kernel = weight.size(2), columns = weight.size(0), offsets = kernel * kernel;
  const Windows windows(images, kernel, geometry.stride, geometry.padding, geometry.out_side(images.height, kernel),
                        geometry.out_side(images.width, kernel));
  const float* values = values_of<float>(kernels);
  const int64_t stride = offsets * images.channels;
  const Blocks blocks(windows, offsets);
  const Packed packed(offsets, images.channels, columns, blocks.by_place, [&](const Part& part, int64_t offset, int64_t column, uint16_t* to) {
    const float* from = values + column * stride + offset * images.channels + part.first_channel;
    tiles::pack_columns(from, stride, part.channels, columns - column, to);
  });
  const at::Tensor out = images_like(x, columns, windows.out_height, windows.out_width);
  convolve(windows, blocks, packed, {shift ? values_of<float>(*shift) : nullptr, bounds}, changed<uint16_t>(out));
  return out;
}

bool takes_input_gradient(const at::Tensor& weight, Geometry geometry) {
  return geometry.stride == 1 || (weight.size(2) == 1 && geometry.padding == 0);
}

// It is the convolution of the output's gradient with the weights turned around.
at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight, Geometry geometry, int64_t height,
                          int64_t width) {
  if (winograd::wins(weight, geometry, gradient.size(2) * gradient.size(3))) {
    return winograd::input_gradient(gradient, weight, geometry, height, width);
  }
  const at::Tensor seen = gradient.contiguous(kLast), kernels = kernels_of(weight);
  const Images images(seen);
  const int64_t kernel = weight.size(2), columns = weight.size(1), offsets = kernel * kernel;
  const bool sparse = geometry.stride > 1;
  const Windows windows(images, kernel, 1, kernel - 1 - geometry.padding, sparse ? images.height : height,
                        sparse ? images.width : width);
  const float* values = values_of<float>(kernels);
  const int64_t stride = offsets * columns;
  const Blocks blocks(windows, offsets);
  const Packed packed(offsets, images.channels, columns, blocks.by_place, [&](const Part& part, int64_t offset, int64_t column, uint16_t* to) {
    const float* from = values + part.first_channel * stride + (offsets - 1 - offset) * columns + column;
    tiles::pack_rows(from, stride, part.channels, columns - column, to);
  });
  const at::Tensor out = images_like(gradient, columns, windows.out_height, windows.out_width);
  convolve(windows, blocks, packed, {nullptr, {-kEndless, kEndless}}, changed<uint16_t>(out));
  if (!sparse) {
    return out;
  }
  // Windows of one position see every second one; the others have no gradient.
  const at::Tensor whole = at::zeros({gradient.size(0), columns, height, width}, gradient.options().memory_format(kLast));
  whole.slice(2, 0, c10::nullopt, geometry.stride).slice(3, 0, c10::nullopt, geometry.stride).copy_(out);
  return whole;
}

// The product of the output's gradient, transposed, and the windows, offset by offset.
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel, Geometry geometry) {
  const at::Tensor of_out = gradient.contiguous(kLast), seen = x.contiguous(kLast);
  const Images images(seen);
  const int64_t rows = gradient.size(1), channels = images.channels, offsets = kernel * kernel;
  const Windows windows(images, kernel, geometry.stride, geometry.padding, gradient.size(2), gradient.size(3));
  const Chunks chunks(windows, offsets);
  const Sums sums(rows, channels, offsets, chunks.count());
  const at::Tensor out = at::empty({rows, kernel, kernel, channels}, x.options().dtype(at::kFloat));
  const at::Tensor more = at::empty({sums.spans - 1, rows, kernel, kernel, channels}, out.options());
  const Transposed left(values_of<uint16_t>(of_out), rows, chunks, sums.tasks_of_span() > 1);
  at::parallel_for(0, sums.tasks(), 1, [&](int64_t from, int64_t to) {
    for (int64_t task = from; task < to; ++task) {
      const int64_t span = sums.span_of(task);
      float* values = span == 0 ? changed<float>(out) : changed<float>(more) + (span - 1) * out.numel();
      sums.add_up(task, left, chunks, values);
    }
  });
  if (sums.spans > 1) {
    out.add_(more.sum(0));
  }
  return out.permute({0, 3, 1, 2});
}

}  // namespace ferrite::tiled
