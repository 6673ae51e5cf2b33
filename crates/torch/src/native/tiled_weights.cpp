// The weight gradient of a convolution on the matrix unit: the product of the output's gradient, transposed, and the
// windows, offset by offset.

#include "tiled.h"

#include "windows.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

namespace ferrite::tiled {
namespace {

using tiles::kBlock;
using tiles::pieces;
using tiles::rounded_up;
using tiles::Start;

// Positions that a weight gradient adds up at a time, and its columns.
constexpr int64_t kPositions = 512;
constexpr int64_t kGradientColumns = 256;

// The output's positions in chunks of up to 512: as they lie in memory, or by place, each place's images rounded up
// to 32.
class Chunks {
 public:
  Chunks(const Windows& windows, int64_t offsets)
      : by_place_(fewer_by_place(windows, offsets) && windows.images() <= kPositions),
        windows_(windows),
        of_place_(rounded_up(windows.images())),
        places_(std::min(windows.places(), kPositions / of_place_)) {}

  int64_t count() const {
    return by_place_ ? pieces(windows_.places(), places_) : pieces(windows_.positions(), kPositions);
  }

  // Writes the transposed of the chunk's rows of `gradients`.
  void transpose(int64_t chunk, const uint16_t* gradients, int64_t rows, uint16_t* to, int64_t stride) const {
    if (!by_place_) {
      return tiles::operations().transpose(gradients + chunk * kPositions * rows, rows, positions_in(chunk), rows, to,
                                           stride);
    }
    for (int64_t index = 0; index < places_in(chunk); ++index) {
      const uint16_t* from = gradients + (chunk * places_ + index) * rows;
      tiles::operations().transpose(from, windows_.places() * rows, windows_.images(), rows, to + index * of_place_,
                                    stride);
    }
  }

  // A right matrix of the windows' values at `offset`, of `columns` from `column` on, and where in a row of the
  // transposed gradients the positions begin that each 32 of its rows belong to.
  void pack(int64_t chunk, int64_t offset, int64_t column, int64_t columns, uint16_t* to,
            std::vector<int64_t>& steps) const {
    steps.clear();
    const uint16_t* seen[kPositions];
    const auto see = [&](int64_t index, const uint16_t* corner, int64_t top, int64_t left) {
      seen[index] = windows_.inside(top, left, offset) ? corner + windows_.steps()[offset] : nullptr;
    };
    const auto pack_seen = [&](int64_t count, int64_t depth, int64_t before) {
      for (int64_t group = 0; group < rounded_up(columns); group += 16) {
        tiles::operations().pack_scattered(seen, column + group, count, columns - group,
                                           to + group * depth + 16 * before);
      }
    };
    if (!by_place_) {
      const int64_t count = positions_in(chunk);
      windows_.each(chunk * kPositions, count, see);
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
  int64_t positions_in(int64_t chunk) const {
    return std::min(kPositions, windows_.positions() - chunk * kPositions);
  }

  int64_t places_in(int64_t chunk) const {
    return std::min(places_, windows_.places() - chunk * places_);
  }

  const bool by_place_;
  const Windows& windows_;
  // Rows of a place, and places of a chunk.
  const int64_t of_place_, places_;
};

// The output's gradient as left matrices, one for each chunk of positions: a row for each channel.
class Transposed {
 public:
  // All at once, where several tasks read them, or each when it is asked for.
  Transposed(const uint16_t* gradients, int64_t rows, const Chunks& chunks, bool at_once)
      : gradients_(gradients),
        rows_(rows),
        chunks_(chunks),
        all_(at_once ? chunks.count() * values() : 0),
        at_once_(at_once) {
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

  Sums(int64_t rows, int64_t channels, int64_t offsets, int64_t chunks)
      : rows(rows), channels(channels), offsets(offsets) {
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
    std::vector<Start> starts(last_offset - first_offset, Start::kZero);
    std::vector<int64_t> steps;
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const uint16_t* left = gradients.at(chunk, place + 0);
      for (int64_t offset = first_offset; offset < last_offset; ++offset) {
        chunks.pack(chunk, offset, column, columns, right + 0, steps);
        if (steps.empty()) {
          continue;
        }
        const tiles::Right seen{right + 0, static_cast<int64_t>(steps.size()) * kBlock, whole};
        Start& start = starts[offset - first_offset];
        for (int64_t row = 0; row < rows; row += kBlock) {
          const tiles::Left part{left + row * Transposed::kStride, Transposed::kStride, steps.data(),
                                 std::min(kBlock, rows - row)};
          unit.product(part, seen, sums + ((offset - first_offset) * of_offset + row * whole), start);
        }
        start = Start::kSums;
      }
    }
    for (int64_t offset = first_offset; offset < last_offset; ++offset) {
      for (int64_t row = 0; row < rows; ++row) {
        float* to = values + (row * offsets + offset) * channels + column;
        if (starts[offset - first_offset] == Start::kSums) {
          tiles::operations().keep_row(sums + ((offset - first_offset) * of_offset + row * whole), columns, to);
        } else {
          std::fill_n(to, columns, 0.0f);
        }
      }
    }
  }
};

}  // namespace

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
