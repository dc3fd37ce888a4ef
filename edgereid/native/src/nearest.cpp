#include "nearest.hpp"

#include <limits>
#include <utility>

#include "clones.hpp"
#include "parallel.hpp"

namespace edgereid {
namespace {

constexpr std::size_t kLane = 64;
constexpr std::size_t kStripe = 1024;
constexpr std::size_t kSums = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// kLane products of one image with others: whether a distance is below `limit`. `maxima` (kSums)
// are raised to the distances.
EDGEREID_CLONES bool row_below(const float* products, const float* squares, float own, float limit,
                               float* maxima) {
    int found = 0;
    for (std::size_t j = 0; j < kLane; j += kSums) {
        for (std::size_t l = 0; l < kSums; ++l) {
            const float d = squared_distance(products[j + l], squares[j + l], own);
            maxima[l] = std::max(maxima[l], d);
            found |= d < limit ? 1 : 0;
        }
    }
    return found != 0;
}

// The same products, for the others: whether a distance is below the other's own limit. The others'
// `maxima` (kLane) are raised.
EDGEREID_CLONES bool column_below(const float* products, const float* squares, float own,
                                  const float* limits, float* maxima) {
    int found = 0;
    for (std::size_t j = 0; j < kLane; ++j) {
        const float d = squared_distance(products[j], squares[j], own);
        maxima[j] = std::max(maxima[j], d);
        found |= d < limits[j] ? 1 : 0;
    }
    return found != 0;
}

}  // namespace

NearestTable::NearestTable(std::vector<float> squares, std::size_t neighbours)
    : squares_(std::move(squares)),
      limits_(squares_.size(), neighbours > 1 ? kInfinity : -kInfinity),
      maxima_(squares_.size(), 0.0f),
      nearest_(squares_.size() * (neighbours - 1), Neighbour{kInfinity, -1}),
      neighbours_(neighbours) {}

// Others come in ascending order, so one at an equal distance stands behind those that are there.
void NearestTable::insert(std::size_t image, float distance, std::size_t other) {
    if (image == other) return;
    Neighbour* const first = nearest_.data() + image * (neighbours_ - 1);
    Neighbour* const last = first + neighbours_ - 2;
    Neighbour* place = last;
    for (; place != first && distance < place[-1].distance; --place) *place = place[-1];
    *place = {distance, static_cast<std::int32_t>(other)};
    limits_[image] = last->distance;
}

// The images from `done` on, as neighbours of `image`.
void NearestTable::take_row(const float* row, std::size_t image) {
    const std::size_t columns = images() - done_;
    const float* const squares = squares_.data() + done_;
    const float own = squares_[image];
    float maxima[kSums] = {};
    const auto take = [&](std::size_t j) {
        const float d = squared_distance(row[j], squares[j], own);
        if (d < limits_[image]) insert(image, d, done_ + j);
        return d;
    };
    std::size_t j = 0;
    for (; j + kLane <= columns; j += kLane) {
        if (!row_below(row + j, squares + j, own, limits_[image], maxima)) continue;
        for (std::size_t l = 0; l < kLane; ++l) take(j + l);
    }
    for (; j < columns; ++j) maxima[0] = std::max(maxima[0], take(j));
    maxima_[image] = std::max(maxima_[image], *std::max_element(maxima, maxima + kSums));
}

// The rows' images as neighbours of the images of columns start .. stop - 1.
void NearestTable::take_columns(const float* block, std::size_t rows, std::size_t pitch,
                                std::size_t start, std::size_t stop) {
    for (std::size_t r = 0; r < rows; ++r) {
        const float* const row = block + r * pitch;
        const float own = squares_[done_ + r];
        const auto take = [&](std::size_t image) {
            const float d = squared_distance(row[image - done_], squares_[image], own);
            if (d < limits_[image]) insert(image, d, done_ + r);
            return d;
        };
        std::size_t j = start;
        for (; j + kLane <= stop; j += kLane) {
            const std::size_t at = done_ + j;
            if (!column_below(row + j, squares_.data() + at, own, limits_.data() + at,
                              maxima_.data() + at)) {
                continue;
            }
            for (std::size_t l = 0; l < kLane; ++l) take(at + l);
        }
        for (; j < stop; ++j) maxima_[done_ + j] = std::max(maxima_[done_ + j], take(done_ + j));
    }
}

void NearestTable::add(const float* block, std::size_t rows, std::size_t pitch, unsigned threads) {
    for_each_row(rows, threads, [&] {
        return [&](std::size_t r) { take_row(block + r * pitch, done_ + r); };
    });
    const std::size_t columns = images() - done_, behind = columns - rows;
    for_each_row((behind + kStripe - 1) / kStripe, threads, [&] {
        return [&](std::size_t stripe) {
            const std::size_t start = rows + stripe * kStripe;
            take_columns(block, rows, pitch, start, std::min(columns, start + kStripe));
        };
    }, 1);
    done_ += rows;
}

void NearestTable::finish(std::int32_t* indices, float* maxima) const {
    const Neighbour* neighbour = nearest_.data();
    for (std::size_t i = 0; i < images(); ++i) {
        *indices++ = static_cast<std::int32_t>(i);
        for (std::size_t n = 1; n < neighbours_; ++n) *indices++ = neighbour++->image;
    }
    std::copy(maxima_.begin(), maxima_.end(), maxima);
}

}  // namespace edgereid
