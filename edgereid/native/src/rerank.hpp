// k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal
// Encoding", CVPR 2017) on sparse sets: nothing of size images x images is ever kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgereid {

// Rows of (index, value) pairs, each index once: row i is offsets[i] .. offsets[i + 1] - 1.
struct SparseRows {
    std::vector<std::size_t> offsets;
    std::vector<std::int32_t> indices;
    std::vector<float> values;
};

struct Images {
    const float* features;  // (count x size)
    const float* maxima;    // (count): largest squared distance of each image to any
    std::size_t count;
    std::size_t size;
};

// The paper's encoding V of every image (eqs. 5 to 7, 11): Gaussian weights on its expanded
// k-reciprocal neighbours, averaged over its k2 nearest images. `neighbours` (count x width) as
// NearestTable gives them, width >= max(k1 + 1, k2).
SparseRows encode(const Images& images, const std::int32_t* neighbours, std::size_t width,
                  std::size_t k1, std::size_t k2, unsigned threads);

// The encodings of the gallery by what they point at: image -> (gallery entry, value).
SparseRows invert(const SparseRows& encoding, std::size_t first, std::size_t count, std::size_t images);

// What `mix` needs of all images, the queries first.
struct Encoded {
    const float* squares;  // squared norms
    const float* maxima;   // as in Images
    const SparseRows& encoding;
    const SparseRows& inverted;  // of the gallery
    std::size_t queries;
    std::size_t gallery;
};

// The final distances of the queries first .. first + rows - 1, `out` (rows x gallery):
//     (1 - weight) * Jaccard distance + weight * squared distance / maxima[query]
// (eqs. 10 and 12). `products` holds -2 x.y of these queries and the gallery, its rows `pitch` apart.
void mix(const float* products, std::size_t pitch, std::size_t first, std::size_t rows,
         const Encoded& images, float weight, float* out, unsigned threads);

}  // namespace edgereid
