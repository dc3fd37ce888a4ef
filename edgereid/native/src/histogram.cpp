#include "histogram.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "clones.hpp"

namespace edgereid {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kLanes = 16;     // independent partial results, so that loops vectorise
constexpr std::size_t kChunk = 2048;   // values whose bins are computed before they are counted
constexpr std::size_t kTables = 4;     // increments of one bin do not wait for each other
constexpr std::size_t kFew = 16384;    // values for which several tables do not pay
constexpr std::size_t kFlush = std::size_t{1} << 30;  // before a 32-bit count can overflow

bool is_nonfinite(float v) {
    std::uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

EDGEREID_CLONES std::size_t count_nonfinite(const float* values, std::size_t size) {
    std::uint32_t part = 0;
    for (std::size_t i = 0; i < size; ++i) part += is_nonfinite(values[i]) ? 1u : 0u;
    return part;
}

// Range of a multiple of kLanes values; NaN is passed over, infinities are not.
EDGEREID_CLONES void widen(const float* values, std::size_t size, float& min, float& max) {
    float low[kLanes];
    float high[kLanes];
    std::fill(low, low + kLanes, min);
    std::fill(high, high + kLanes, max);
    for (std::size_t i = 0; i < size; i += kLanes) {
        for (std::size_t k = 0; k < kLanes; ++k) {
            const float v = values[i + k];
            low[k] = v < low[k] ? v : low[k];
            high[k] = v > high[k] ? v : high[k];
        }
    }
    min = *std::min_element(low, low + kLanes);
    max = *std::max_element(high, high + kLanes);
}

void widen_finite(const float* values, std::size_t size, float& min, float& max) {
    for (std::size_t i = 0; i < size; ++i) {
        if (is_nonfinite(values[i])) continue;
        min = std::min(min, values[i]);
        max = std::max(max, values[i]);
    }
}

// bins[i] = clamp(floor(values[i] * inverse_width), -half, half - 1) + half, of NaN 0. Returns
// whether there is a NaN.
EDGEREID_CLONES bool find_bins(const float* values, std::size_t size, float inverse_width,
                               std::int32_t half, std::int32_t* bins) {
    const auto low = static_cast<float>(-half);
    const auto high = static_cast<float>(half - 1);
    std::uint32_t nan = 0;
    for (std::size_t i = 0; i < size; ++i) {
        float x = values[i] * inverse_width;
        nan |= values[i] != values[i] ? 1u : 0u;
        x = x > low ? x : low;  // of NaN the low one
        x = x < high ? x : high;
        const auto truncated = static_cast<std::int32_t>(x);
        const std::int32_t floored = truncated - (x < static_cast<float>(truncated) ? 1 : 0);
        bins[i] = floored + half;
    }
    return nan != 0;
}

// The kTables tables lie `stride` apart; 0: they are one.
void count(const std::int32_t* bins, std::size_t size, std::uint32_t* tables, std::size_t stride) {
    std::uint32_t* const a = tables;
    std::uint32_t* const b = a + stride;
    std::uint32_t* const c = b + stride;
    std::uint32_t* const d = c + stride;
    std::size_t i = 0;
    for (; i + kTables <= size; i += kTables) {
        ++a[bins[i]];
        ++b[bins[i + 1]];
        ++c[bins[i + 2]];
        ++d[bins[i + 3]];
    }
    for (; i < size; ++i) ++a[bins[i]];
}

void flush(std::vector<std::uint32_t>& tables, std::vector<std::int64_t>& sums) {
    const std::size_t width = sums.size();
    for (std::size_t t = 0; t < tables.size(); t += width) {
        for (std::size_t b = 0; b < width; ++b) sums[b] += tables[t + b];
    }
    std::fill(tables.begin(), tables.end(), 0u);
}

}  // namespace

Range min_max(const float* values, std::size_t size) {
    Range range{kInfinity, -kInfinity, 0};
    for (std::size_t start = 0; start < size; start += kChunk) {
        const float* chunk = values + start;
        const std::size_t length = std::min(kChunk, size - start);
        const std::size_t bad = count_nonfinite(chunk, length);
        const std::size_t even = bad ? 0 : length - length % kLanes;
        widen(chunk, even, range.min, range.max);
        widen_finite(chunk + even, length - even, range.min, range.max);
        range.nonfinite += bad;
    }
    return range;
}

bool histogram_add(const float* values, std::size_t size, float inverse_width, std::int64_t* counts,
                   std::size_t half) {
    const std::size_t width = 2 * half;
    const bool few = size < kFew;
    std::vector<std::uint32_t> tables((few ? 1 : kTables) * width, 0u);
    std::vector<std::int64_t> sums(width, 0);
    std::int32_t bins[kChunk];
    std::size_t pending = 0;
    for (std::size_t start = 0; start < size; start += kChunk) {
        const std::size_t length = std::min(kChunk, size - start);
        const auto signed_half = static_cast<std::int32_t>(half);
        if (find_bins(values + start, length, inverse_width, signed_half, bins)) return false;
        count(bins, length, tables.data(), few ? 0 : width);
        pending += length;
        if (pending >= kFlush) {
            flush(tables, sums);
            pending = 0;
        }
    }
    flush(tables, sums);
    for (std::size_t b = 0; b < width; ++b) counts[b] += sums[b];
    return true;
}

}  // namespace edgereid
