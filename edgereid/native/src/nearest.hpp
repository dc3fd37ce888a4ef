// The nearest neighbours of all images among each other, from half of their distances.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgereid {

// |x - y|^2, never negative, of product = -2 x.y, own = |x|^2 and other = |y|^2.
inline float squared_distance(float product, float other, float own) {
    return std::max(0.0f, product + other + own);
}

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

    // `block` holds -2 x.y of the images done .. done + rows - 1 and the images from `done` on, its
    // rows `pitch` >= images - done apart. Finite.
    void add(const float* block, std::size_t rows, std::size_t pitch, unsigned threads);

    // `indices` (images x neighbours), nearest first; `maxima` (images): the largest squared distance.
    void finish(std::int32_t* indices, float* maxima) const;

private:
    struct Neighbour {
        float distance;
        std::int32_t image;
    };

    void insert(std::size_t image, float distance, std::size_t other);
    void take_row(const float* row, std::size_t image);
    void take_columns(const float* block, std::size_t rows, std::size_t pitch, std::size_t start,
                      std::size_t stop);

    std::vector<float> squares_, limits_, maxima_;  // limits_: the distance of the last neighbour
    std::vector<Neighbour> nearest_;                // neighbours - 1 an image, ascending
    std::size_t neighbours_;
    std::size_t done_ = 0;
};

}  // namespace edgereid
