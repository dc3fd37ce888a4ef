// Range and histogram of a stream of floats: what calibration collects.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgereid {

struct Range {
    float min;              // of the finite values; +infinity when there is none
    float max;              // of the finite values; -infinity when there is none
    std::size_t nonfinite;  // NaN and infinities
};

Range min_max(const float* values, std::size_t size);

// Adds each value v to bin floor(v * inverse_width) + half of `counts`, which has 2 * half bins,
// symmetric about zero; values outside (infinities too) go to the first or last bin. The product is
// rounded to float. Returns false, and leaves `counts` as it was, if a value is NaN.
// `half` is at most 2^22.
bool histogram_add(const float* values, std::size_t size, float inverse_width, std::int64_t* counts,
                   std::size_t half);

}  // namespace edgereid
