#include "ranks.hpp"

#include <algorithm>

#include "clones.hpp"
#include "parallel.hpp"

namespace edgereid {
namespace {

// A piece of a row that stays in the first-level cache while it is counted for every match.
constexpr std::size_t kPiece = 8192;

// #{ j < size : row[j] < limit }, in 32-bit sums so that the loop vectorises well; size <= kPiece.
EDGEREID_CLONES std::int32_t count_below(const float* row, std::size_t size, float limit) {
    std::int32_t total = 0;
    for (std::size_t j = 0; j < size; ++j) total += row[j] < limit ? 1 : 0;
    return total;
}

// #{ j < size : row[j] <= limit }
EDGEREID_CLONES std::int32_t count_not_above(const float* row, std::size_t size, float limit) {
    std::int32_t total = 0;
    for (std::size_t j = 0; j < size; ++j) total += row[j] <= limit ? 1 : 0;
    return total;
}

void rank_row(const float* row, std::size_t columns, const std::int64_t* match,
              const std::int64_t* match_end, const std::int64_t* ignored,
              const std::int64_t* ignored_end, std::int64_t* ranks) {
    const std::size_t matches = static_cast<std::size_t>(match_end - match);
    std::fill(ranks, ranks + matches, 1);
    for (std::size_t start = 0; start < columns; start += kPiece) {
        const std::size_t size = std::min(kPiece, columns - start);
        const float* const piece = row + start;
        for (std::size_t m = 0; m < matches; ++m) {
            // Before the match in the gallery an equal distance precedes it, behind it it does not.
            const auto own = static_cast<std::size_t>(match[m]);
            const std::size_t split = own <= start ? 0 : std::min(size, own - start);
            const float limit = row[own];
            if (split > 0) ranks[m] += count_not_above(piece, split, limit);
            if (split < size) ranks[m] += count_below(piece + split, size - split, limit);
        }
    }
    for (std::size_t m = 0; m < matches; ++m) {
        const float limit = row[match[m]];
        for (const std::int64_t* i = ignored; i != ignored_end; ++i) {
            ranks[m] -= row[*i] < limit || (row[*i] == limit && *i < match[m]) ? 1 : 0;
        }
    }
    std::sort(ranks, ranks + matches);
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
    for_each_row(rows, threads, [&] {
        return [&](std::size_t r) {
            rank_row(distances + r * columns, columns, matches.indices + matches.offsets[r],
                     matches.indices + matches.offsets[r + 1], ignored.indices + ignored.offsets[r],
                     ignored.indices + ignored.offsets[r + 1], ranks + matches.offsets[r]);
        };
    }, 1);
}

}  // namespace edgereid
