// The nearest neighbours of all images among each other, from half of their distances.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace edgereid {

// row[j] = -2 x.y becomes |x - y|^2 with own = |x|^2 and squares[j] = |y|^2; never negative.
void complete_distances(float* row, std::size_t count, float own, const float* squares);

// Distances are the same both ways, so image i is compared with the images from i on only, in
// blocks of images in ascending order. Equal distances stand in the order of the images; an image
// is its own first neighbour whatever the others.
class NearestTable {
public:
    // `squares`: squared norms of the images; `neighbours` >= 1, at most as many as there are images.
    NearestTable(std::vector<float> squares, std::size_t neighbours);

    std::size_t images() const { return squares_.size(); }
    std::size_t neighbours() const { return neighbours_; }
    std::size_t done() const { return done_; }

    // `block` (rows x (images - done)) holds -2 x.y of images done .. done + rows - 1 and the images
    // from `done` on; squared distances on return. No NaN.
    void add(float* block, std::size_t rows, unsigned threads);

    // `indices` (images x neighbours), nearest first; `maxima` (images): the largest squared distance.
    void finish(std::int32_t* indices, float* maxima, unsigned threads);

private:
    using Pair = std::pair<float, std::int32_t>;  // ordered by distance, then by index

    void offer(std::size_t image, float distance, std::size_t other);
    void take_row(const float* row, std::size_t image);
    void take_columns(const float* block, std::size_t rows, std::size_t start, std::size_t stop);

    std::vector<float> squares_, limits_, maxima_;
    std::vector<Pair> heaps_;  // neighbours - 1 an image, a max-heap each
    std::vector<std::size_t> sizes_;
    std::size_t neighbours_;
    std::size_t done_ = 0;
};

}  // namespace edgereid
