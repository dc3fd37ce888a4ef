#include "nearest.hpp"

#include <algorithm>
#include <limits>

#include "clones.hpp"
#include "parallel.hpp"

namespace edgereid {
namespace {

constexpr std::size_t kLane = 64;
constexpr std::size_t kStripe = 1024;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

EDGEREID_CLONES bool any_below(const float* values, float limit) {
    int found = 0;
    for (std::size_t j = 0; j < kLane; ++j) found |= values[j] < limit ? 1 : 0;
    return found != 0;
}

EDGEREID_CLONES bool any_below_own(const float* values, const float* limits) {
    int found = 0;
    for (std::size_t j = 0; j < kLane; ++j) found |= values[j] < limits[j] ? 1 : 0;
    return found != 0;
}

EDGEREID_CLONES float largest(const float* values, std::size_t count, float least) {
    float lanes[16];
    std::fill(lanes, lanes + 16, least);
    std::size_t j = 0;
    for (; j + 16 <= count; j += 16) {
        for (std::size_t l = 0; l < 16; ++l) lanes[l] = std::max(lanes[l], values[j + l]);
    }
    float result = *std::max_element(lanes, lanes + 16);
    for (; j < count; ++j) result = std::max(result, values[j]);
    return result;
}

EDGEREID_CLONES void raise(float* maxima, const float* values, std::size_t count) {
    for (std::size_t j = 0; j < count; ++j) maxima[j] = std::max(maxima[j], values[j]);
}

}  // namespace

EDGEREID_CLONES void complete_distances(float* row, std::size_t count, float own,
                                        const float* squares) {
    for (std::size_t j = 0; j < count; ++j) row[j] = std::max(0.0f, row[j] + squares[j] + own);
}

NearestTable::NearestTable(std::vector<float> squares, std::size_t neighbours)
    : squares_(std::move(squares)),
      limits_(squares_.size(), neighbours > 1 ? kInfinity : -kInfinity),
      maxima_(squares_.size(), 0.0f),
      heaps_(squares_.size() * (neighbours - 1)),
      sizes_(squares_.size(), 0),
      neighbours_(neighbours) {}

// Others come in ascending order, so a later equal distance never displaces an earlier one.
void NearestTable::offer(std::size_t image, float distance, std::size_t other) {
    if (image == other || !(distance < limits_[image])) return;
    const std::size_t room = neighbours_ - 1;
    Pair* const heap = heaps_.data() + image * room;
    std::size_t& size = sizes_[image];
    if (size == room) {
        std::pop_heap(heap, heap + size);
        --size;
    }
    heap[size++] = {distance, static_cast<std::int32_t>(other)};
    std::push_heap(heap, heap + size);
    if (size == room) limits_[image] = heap->first;
}

// The images from `done` on, as neighbours of `image`.
void NearestTable::take_row(const float* row, std::size_t image) {
    const std::size_t columns = images() - done_;
    std::size_t j = 0;
    for (; j + kLane <= columns; j += kLane) {
        if (!any_below(row + j, limits_[image])) continue;
        for (std::size_t l = 0; l < kLane; ++l) offer(image, row[j + l], done_ + j + l);
    }
    for (; j < columns; ++j) offer(image, row[j], done_ + j);
    maxima_[image] = largest(row, columns, maxima_[image]);
}

// The rows' images as neighbours of the images of columns start .. stop - 1.
void NearestTable::take_columns(const float* block, std::size_t rows, std::size_t start,
                                std::size_t stop) {
    const std::size_t columns = images() - done_;
    for (std::size_t r = 0; r < rows; ++r) {
        const float* row = block + r * columns;
        std::size_t j = start;
        for (; j + kLane <= stop; j += kLane) {
            if (!any_below_own(row + j, limits_.data() + done_ + j)) continue;
            for (std::size_t l = 0; l < kLane; ++l) offer(done_ + j + l, row[j + l], done_ + r);
        }
        for (; j < stop; ++j) offer(done_ + j, row[j], done_ + r);
        raise(maxima_.data() + done_ + start, row + start, stop - start);
    }
}

void NearestTable::add(float* block, std::size_t rows, unsigned threads) {
    const std::size_t columns = images() - done_;
    for_each_row(rows, threads, [&] {
        return [&](std::size_t r) {
            float* row = block + r * columns;
            complete_distances(row, columns, squares_[done_ + r], squares_.data() + done_);
            take_row(row, done_ + r);
        };
    });
    const std::size_t behind = columns - rows;
    for_each_row((behind + kStripe - 1) / kStripe, threads, [&] {
        return [&](std::size_t stripe) {
            const std::size_t start = rows + stripe * kStripe;
            take_columns(block, rows, start, std::min(columns, start + kStripe));
        };
    }, 1);
    done_ += rows;
}

void NearestTable::finish(std::int32_t* indices, float* maxima, unsigned threads) {
    const std::size_t room = neighbours_ - 1;
    for_each_row(images(), threads, [&] {
        return [&](std::size_t i) {
            Pair* const heap = heaps_.data() + i * room;
            std::sort_heap(heap, heap + room);
            indices[i * neighbours_] = static_cast<std::int32_t>(i);
            for (std::size_t n = 0; n < room; ++n) indices[i * neighbours_ + 1 + n] = heap[n].second;
        };
    });
    std::copy(maxima_.begin(), maxima_.end(), maxima);
}

}  // namespace edgereid
