// The windows of a convolution, as the products on the matrix unit see them (tiled.h).
#pragma once

#include "memory.h"

#include <vector>

namespace ferrite::tiled {

// Bytes of sums that are added up at a time: with what they are made of they fill the second cache.
constexpr int64_t kSumBytes = 768 << 10;

// The windows of a convolution on some images, by output position.
class Windows {
 public:
  const int64_t out_height, out_width;

  Windows(const Images& images, int64_t kernel, int64_t stride, int64_t padding, int64_t out_height, int64_t out_width)
      : out_height(out_height),
        out_width(out_width),
        images_(images),
        kernel_(kernel),
        stride_(stride),
        padding_(padding) {
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
      see(index, images_.values + ((image * images_.height + top) * images_.width + left) * images_.channels, top,
          left);
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

// Whether there is less to multiply where windows at one place in several images stand together: what lies beyond the
// image is the same for all of them and can be left out. Of a padded image of three by three positions it is 32 values
// of 81. With few images blocks are not full, and for a tenth it is not worth more and smaller products.
inline bool fewer_by_place(const Windows& windows, int64_t offsets) {
  int64_t seen = 0;
  for (int64_t place = 0; place < windows.places(); ++place) {
    for (int64_t offset = 0; offset < offsets; ++offset) {
      seen += windows.sees(place, offset);
    }
  }
  return 10 * tiles::pieces(windows.images(), tiles::kBlock) * seen <
      9 * tiles::pieces(windows.positions(), tiles::kBlock) * offsets;
}

}  // namespace ferrite::tiled
