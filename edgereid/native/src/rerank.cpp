#include "rerank.hpp"

#include <algorithm>
#include <cmath>

#include "clones.hpp"
#include "nearest.hpp"
#include "parallel.hpp"

namespace edgereid {
namespace {

using Set = std::vector<std::int32_t>;

struct Weight {
    std::int32_t image;
    float value;
};
using Weights = std::vector<std::vector<Weight>>;  // an image each

EDGEREID_CLONES float distance_between(const float* a, const float* b, std::size_t size) {
    float lanes[16] = {};
    std::size_t j = 0;
    for (; j + 16 <= size; j += 16) {
        for (std::size_t l = 0; l < 16; ++l) {
            const float d = a[j + l] - b[j + l];
            lanes[l] += d * d;
        }
    }
    float total = 0.0f;
    for (float lane : lanes) total += lane;
    for (; j < size; ++j) total += (a[j] - b[j]) * (a[j] - b[j]);
    return total;
}

struct Neighbours {
    const std::int32_t* table;
    std::size_t width;

    const std::int32_t* of(std::int32_t image) const {
        return table + static_cast<std::size_t>(image) * width;
    }
    bool has(std::int32_t image, std::int32_t wanted, std::size_t k) const {
        const std::int32_t* row = of(image);
        return std::find(row, row + k, wanted) != row + k;
    }
    // Those of the image's k nearest (itself included) that have it among their own k nearest.
    void reciprocal(std::int32_t image, std::size_t k, Set& out) const {
        out.clear();
        const std::int32_t* row = of(image);
        for (std::size_t n = 0; n < k; ++n) {
            if (has(row[n], image, k)) out.push_back(row[n]);
        }
    }
};

// numpy.around(k / 2): halves go to the even neighbour.
std::size_t half_to_even(std::size_t k) { return k / 2 + (k % 4 == 3 ? 1 : 0); }

// The k-reciprocal set of every image.
std::vector<Set> reciprocal_sets(const Neighbours& near, std::size_t images, std::size_t k,
                                 unsigned threads) {
    std::vector<Set> out(images);
    for_each_row(images, threads, [&] {
        return [&](std::size_t i) { near.reciprocal(static_cast<std::int32_t>(i), k, out[i]); };
    });
    return out;
}

// Eq. 5: to `set`, an image's reciprocal set, adds the half-size sets of its members that lie mostly
// in it. `marks` (an image each) are zero, and zero again on return.
void expand(const std::vector<Set>& halves, std::vector<char>& marks, Set& set) {
    const auto mark = [&](std::int32_t image) -> char& { return marks[static_cast<std::size_t>(image)]; };
    for (const std::int32_t j : set) mark(j) = 1;
    for (std::size_t n = 0, own = set.size(); n < own; ++n) {
        const Set& other = halves[static_cast<std::size_t>(set[n])];
        std::size_t common = 0;
        for (const std::int32_t j : other) common += mark(j) == 1 ? 1 : 0;
        if (3 * common <= 2 * other.size()) continue;
        for (const std::int32_t j : other) {
            if (mark(j) == 0) {
                mark(j) = 2;
                set.push_back(j);
            }
        }
    }
    for (const std::int32_t j : set) mark(j) = 0;
}

// Eqs. 5 to 7: the expanded reciprocal set of each image with weights exp(-distance), of sum 1.
Weights gaussian_weights(const Images& images, const Neighbours& near, std::size_t k1,
                         unsigned threads) {
    const auto halves = reciprocal_sets(near, images.count, half_to_even(k1) + 1, threads);
    Weights out(images.count);
    for_each_row(images.count, threads, [&] {
        return [&, set = Set(), marks = std::vector<char>(images.count)](std::size_t i) mutable {
            near.reciprocal(static_cast<std::int32_t>(i), k1 + 1, set);
            expand(halves, marks, set);
            const float* const mine = images.features + i * images.size;
            double sum = 0.0;
            out[i].reserve(set.size());
            for (const std::int32_t j : set) {
                const float* const other = images.features + static_cast<std::size_t>(j) * images.size;
                const float w = std::exp(-distance_between(mine, other, images.size) / images.maxima[i]);
                out[i].push_back({j, w});
                sum += w;
            }
            for (Weight& w : out[i]) w.value = static_cast<float>(w.value / sum);
        };
    });
    return out;
}

// Eq. 11: local query expansion, the mean over the k2 nearest images.
Weights averaged(const Weights& rows, const Neighbours& near, std::size_t k2, unsigned threads) {
    Weights out(rows.size());
    const float share = static_cast<float>(k2);
    for_each_row(rows.size(), threads, [&] {
        return [&, sums = std::vector<float>(rows.size()), touched = Set()](std::size_t i) mutable {
            touched.clear();
            const std::int32_t* const nearest = near.of(static_cast<std::int32_t>(i));
            for (std::size_t n = 0; n < k2; ++n) {
                for (const Weight& w : rows[static_cast<std::size_t>(nearest[n])]) {
                    float& sum = sums[static_cast<std::size_t>(w.image)];
                    if (sum == 0.0f) touched.push_back(w.image);  // weights are above zero
                    sum += w.value / share;
                }
            }
            out[i].reserve(touched.size());
            for (const std::int32_t j : touched) {
                float& sum = sums[static_cast<std::size_t>(j)];
                out[i].push_back({j, sum});
                sum = 0.0f;
            }
        };
    });
    return out;
}

SparseRows joined(const Weights& rows) {
    SparseRows out;
    out.offsets.reserve(rows.size() + 1);
    out.offsets.push_back(0);
    for (const auto& row : rows) out.offsets.push_back(out.offsets.back() + row.size());
    out.indices.reserve(out.offsets.back());
    out.values.reserve(out.offsets.back());
    for (const auto& row : rows) {
        for (const Weight& w : row) {
            out.indices.push_back(w.image);
            out.values.push_back(w.value);
        }
    }
    return out;
}

// Eq. 10: what the query's encoding shares with that of each gallery entry.
void overlap(const Encoded& images, std::size_t query, float* shared) {
    std::fill(shared, shared + images.gallery, 0.0f);
    const SparseRows& own = images.encoding;
    const SparseRows& others = images.inverted;
    for (std::size_t e = own.offsets[query]; e < own.offsets[query + 1]; ++e) {
        const auto target = static_cast<std::size_t>(own.indices[e]);
        const float mine = own.values[e];
        for (std::size_t h = others.offsets[target]; h < others.offsets[target + 1]; ++h) {
            shared[others.indices[h]] += std::min(mine, others.values[h]);
        }
    }
}

// Eqs. 10 and 12 for one query; encodings have the sum 1, so their union is 2 - shared.
EDGEREID_CLONES void final_distances(const float* products, const float* squares, float own,
                                     float largest, float weight, const float* shared,
                                     std::size_t gallery, float* out) {
    const float scale = weight / largest;
    for (std::size_t g = 0; g < gallery; ++g) {
        const float jaccard = 1.0f - shared[g] / (2.0f - shared[g]);
        out[g] = (1.0f - weight) * jaccard + scale * squared_distance(products[g], squares[g], own);
    }
}

}  // namespace

SparseRows encode(const Images& images, const std::int32_t* neighbours, std::size_t width,
                  std::size_t k1, std::size_t k2, unsigned threads) {
    const Neighbours near{neighbours, width};
    const Weights rows = gaussian_weights(images, near, k1, threads);
    return joined(k2 > 1 ? averaged(rows, near, k2, threads) : rows);
}

SparseRows invert(const SparseRows& encoding, std::size_t first, std::size_t count,
                  std::size_t images) {
    const std::size_t begin = encoding.offsets[first], end = encoding.offsets[first + count];
    SparseRows out;
    out.offsets.assign(images + 1, 0);
    for (std::size_t e = begin; e < end; ++e) ++out.offsets[static_cast<std::size_t>(encoding.indices[e]) + 1];
    for (std::size_t i = 0; i < images; ++i) out.offsets[i + 1] += out.offsets[i];
    out.indices.resize(end - begin);
    out.values.resize(end - begin);
    std::vector<std::size_t> at(out.offsets.begin(), out.offsets.end() - 1);
    for (std::size_t g = 0; g < count; ++g) {
        for (std::size_t e = encoding.offsets[first + g]; e < encoding.offsets[first + g + 1]; ++e) {
            const std::size_t place = at[static_cast<std::size_t>(encoding.indices[e])]++;
            out.indices[place] = static_cast<std::int32_t>(g);
            out.values[place] = encoding.values[e];
        }
    }
    return out;
}

void mix(const float* products, std::size_t pitch, std::size_t first, std::size_t rows,
         const Encoded& images, float weight, float* out, unsigned threads) {
    for_each_row(rows, threads, [&] {
        return [&, shared = std::vector<float>(images.gallery)](std::size_t r) mutable {
            overlap(images, first + r, shared.data());
            final_distances(products + r * pitch, images.squares + images.queries,
                            images.squares[first + r], images.maxima[first + r], weight,
                            shared.data(), images.gallery, out + r * images.gallery);
        };
    });
}

}  // namespace edgereid
