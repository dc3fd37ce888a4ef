// Ranks of the true matches of a block of queries, counted instead of sorted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgereid {

// Gallery indices per row, in the compressed layout of sparse matrices: row r has
// indices[offsets[r]] up to but not including indices[offsets[r + 1]].
struct IndexLists {
    const std::int64_t* offsets;  // rows + 1 values, ascending, the first is 0
    const std::int64_t* indices;  // each in 0 .. columns-1
};

// Whether offsets ascend from 0 to `count` and every index is below `columns`: what match_ranks
// relies on.
bool valid(const IndexLists& lists, std::size_t rows, std::size_t count, std::size_t columns);

// For every row r of `distances` (rows x columns, row-major, no NaN) and every index m in matches of r:
//
//     rank = 1 + #{ j not in ignored of r : (distance[j], j) < (distance[m], m) }
//
// so equal distances stand in the order of the gallery. `ranks` has the layout of matches.indices;
// within a row they are sorted ascending. Rows are shared out to at most `threads` threads.
void match_ranks(const float* distances, std::size_t rows, std::size_t columns,
                 const IndexLists& matches, const IndexLists& ignored, std::int64_t* ranks,
                 unsigned threads);

}  // namespace edgereid
