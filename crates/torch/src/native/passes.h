// The loops of batch norm over positions and their channels, for each `Value` that activations are made of. Sums,
// statistics and parameters have 32 bits always.
#pragma once

#include "shared.h"

namespace ferrite {
namespace {

template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void add_moments(const Value* __restrict x, int64_t positions, int64_t channels,
                                            const float* __restrict shift, float* __restrict sum,
                                            float* __restrict square) {
  int64_t position = 0;
  for (; position + 4 <= positions; position += 4, x += 4 * channels) {
    const Value *b = x + channels, *c = b + channels, *d = c + channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float p = widen(x[i]) - shift[i], q = widen(b[i]) - shift[i], r = widen(c[i]) - shift[i],
                  s = widen(d[i]) - shift[i];
      sum[i] += (p + q) + (r + s);
      square[i] += (p * p + q * q) + (r * r + s * s);
    }
  }
  for (; position < positions; ++position, x += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float p = widen(x[i]) - shift[i];
      sum[i] += p;
      square[i] += p * p;
    }
  }
}

template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void scale(const Value* __restrict x, int64_t positions, int64_t channels,
                                      const float* __restrict factor, const float* __restrict summand, Bounds bounds,
                                      Value* __restrict out) {
  for (int64_t position = 0; position < positions; ++position, x += channels, out += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      float z = widen(x[i]) * factor[i] + summand[i];
      z = z < bounds.low ? bounds.low : z;
      narrow(z > bounds.high ? bounds.high : z, out[i]);
    }
  }
}

template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void scale_and_add(const Value* __restrict x, const Value* __restrict other,
                                              int64_t positions, int64_t channels, const float* __restrict factor,
                                              const float* __restrict summand, Bounds bounds, Value* __restrict out) {
  for (int64_t position = 0; position < positions; ++position, x += channels, other += channels, out += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      float z = widen(x[i]) * factor[i] + summand[i] + widen(other[i]);
      z = z < bounds.low ? bounds.low : z;
      narrow(z > bounds.high ? bounds.high : z, out[i]);
    }
  }
}

// Sums of the gradient behind the activation, and of its products with what was normalised. The activation's
// input is computed again from `x`.
template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void add_gradients(const Value* __restrict gradient, const Value* __restrict x,
                                              int64_t positions, int64_t channels, const float* __restrict factor,
                                              const float* __restrict summand, Bounds bounds,
                                              const float* __restrict mean, float* __restrict sum,
                                              float* __restrict product) {
  for (int64_t position = 0; position < positions; ++position, gradient += channels, x += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float z = widen(x[i]) * factor[i] + summand[i];
      const float g = (z <= bounds.low) | (z >= bounds.high) ? 0.0f : widen(gradient[i]);
      sum[i] += g;
      product[i] += g * (widen(x[i]) - mean[i]);
    }
  }
}

// The same where the activation's output is at hand. The gradient behind the activation goes to `passed`.
template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void add_kept_gradients(const Value* __restrict gradient, const Value* __restrict x,
                                                   const Value* __restrict kept, int64_t positions, int64_t channels,
                                                   Bounds bounds, const float* __restrict mean, float* __restrict sum,
                                                   float* __restrict product, Value* __restrict passed) {
  for (int64_t position = 0; position < positions;
       ++position, gradient += channels, x += channels, kept += channels, passed += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float g = (widen(kept[i]) <= bounds.low) | (widen(kept[i]) >= bounds.high) ? 0.0f : widen(gradient[i]);
      narrow(g, passed[i]);
      sum[i] += g;
      product[i] += g * (widen(x[i]) - mean[i]);
    }
  }
}

// `first * gradient + second * (x - mean) + third`
template <typename Value>
FERRITE_FOR_ALL_PROCESSORS void combine(const Value* __restrict gradient, const Value* __restrict x, int64_t positions,
                                        int64_t channels, const float* __restrict factor,
                                        const float* __restrict summand, Bounds bounds, const float* __restrict mean,
                                        const float* __restrict first, const float* __restrict second,
                                        const float* __restrict third, Value* __restrict out) {
  for (int64_t position = 0; position < positions; ++position, gradient += channels, x += channels, out += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float z = widen(x[i]) * factor[i] + summand[i];
      const float g = (z <= bounds.low) | (z >= bounds.high) ? 0.0f : widen(gradient[i]);
      narrow(first[i] * g + second[i] * (widen(x[i]) - mean[i]) + third[i], out[i]);
    }
  }
}

}  // namespace
}  // namespace ferrite
