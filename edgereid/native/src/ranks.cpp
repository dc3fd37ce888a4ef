#include "ranks.hpp"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "clones.hpp"

namespace edgereid {
namespace {

// #{ j < size : row[j] < limit }, in 32-bit partial sums so that the loop vectorises well.
EDGEREID_CLONES std::int64_t count_below(const float* row, std::size_t size, float limit) {
    std::int64_t total = 0;
    constexpr std::size_t kBlock = std::size_t{1} << 20;
    for (std::size_t start = 0; start < size; start += kBlock) {
        const std::size_t stop = std::min(size, start + kBlock);
        std::int32_t part = 0;
        for (std::size_t j = start; j < stop; ++j) part += row[j] < limit ? 1 : 0;
        total += part;
    }
    return total;
}

// #{ j < size : row[j] <= limit }
EDGEREID_CLONES std::int64_t count_not_above(const float* row, std::size_t size, float limit) {
    std::int64_t total = 0;
    constexpr std::size_t kBlock = std::size_t{1} << 20;
    for (std::size_t start = 0; start < size; start += kBlock) {
        const std::size_t stop = std::min(size, start + kBlock);
        std::int32_t part = 0;
        for (std::size_t j = start; j < stop; ++j) part += row[j] <= limit ? 1 : 0;
        total += part;
    }
    return total;
}

void rank_row(const float* row, std::size_t columns, const std::int64_t* match,
              const std::int64_t* match_end, const std::int64_t* ignored,
              const std::int64_t* ignored_end, std::int64_t* ranks) {
    std::int64_t* const first = ranks;
    for (; match != match_end; ++match, ++ranks) {
        // Before the match in the gallery an equal distance precedes it, behind it it does not.
        const auto split = static_cast<std::size_t>(*match);
        const float limit = row[split];
        std::int64_t before = count_not_above(row, split, limit) +
                              count_below(row + split, columns - split, limit);
        for (const std::int64_t* i = ignored; i != ignored_end; ++i) {
            before -= row[*i] < limit || (row[*i] == limit && *i < *match) ? 1 : 0;
        }
        *ranks = before + 1;
    }
    std::sort(first, ranks);
}

}  // namespace

bool valid(const IndexLists& lists, std::size_t rows, std::size_t count, std::size_t columns) {
    if (lists.offsets[0] != 0 || lists.offsets[rows] != static_cast<std::int64_t>(count)) return false;
    for (std::size_t r = 0; r < rows; ++r) {
        if (lists.offsets[r] > lists.offsets[r + 1]) return false;
    }
    return std::all_of(lists.indices, lists.indices + count, [columns](std::int64_t i) {
        return i >= 0 && static_cast<std::size_t>(i) < columns;
    });
}

void match_ranks(const float* distances, std::size_t rows, std::size_t columns,
                 const IndexLists& matches, const IndexLists& ignored, std::int64_t* ranks,
                 unsigned threads) {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t r = next++; r < rows; r = next++) {
            rank_row(distances + r * columns, columns, matches.indices + matches.offsets[r],
                     matches.indices + matches.offsets[r + 1], ignored.indices + ignored.offsets[r],
                     ignored.indices + ignored.offsets[r + 1], ranks + matches.offsets[r]);
        }
    };
    const std::size_t helpers = std::min<std::size_t>(threads, rows);
    std::vector<std::thread> pool;
    for (std::size_t t = 1; t < helpers; ++t) pool.emplace_back(work);
    work();
    for (std::thread& thread : pool) thread.join();
}

}  // namespace edgereid
