#include "rerank.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "clones.hpp"
#include "nearest.hpp"
#include "parallel.hpp"

namespace edgereid {
namespace {

using Pair = std::pair<float, std::int32_t>;  // ordered by value, then by index

EDGEREID_CLONES float squared_distance(const float* a, const float* b, std::size_t size) {
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
    void reciprocal(std::int32_t image, std::size_t k, std::vector<std::int32_t>& out) const {
        out.clear();
        const std::int32_t* row = of(image);
        for (std::size_t n = 0; n < k; ++n) {
            if (has(row[n], image, k)) out.push_back(row[n]);
        }
        std::sort(out.begin(), out.end());
    }
};

std::size_t common(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
    std::size_t found = 0;
    for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
        if (*i < *j) ++i;
        else if (*j < *i) ++j;
        else ++found, ++i, ++j;
    }
    return found;
}

// numpy.around(k / 2): halves go to the even neighbour.
std::size_t half_to_even(std::size_t k) { return k / 2 + (k % 4 == 3 ? 1 : 0); }

SparseRows joined(const std::vector<std::vector<Pair>>& rows) {
    SparseRows out;
    out.offsets.reserve(rows.size() + 1);
    out.offsets.push_back(0);
    for (const auto& row : rows) {
        out.offsets.push_back(out.offsets.back() + static_cast<std::int64_t>(row.size()));
    }
    out.indices.reserve(static_cast<std::size_t>(out.offsets.back()));
    out.values.reserve(static_cast<std::size_t>(out.offsets.back()));
    for (const auto& row : rows) {
        for (const Pair& p : row) {
            out.values.push_back(p.first);
            out.indices.push_back(p.second);
        }
    }
    return out;
}

// Eqs. 5 to 7: the expanded reciprocal set of each image with weights exp(-distance), of sum 1.
std::vector<std::vector<Pair>> weights(const Images& images, const Neighbours& near, std::size_t k1,
                                       unsigned threads) {
    const std::size_t half = half_to_even(k1) + 1;
    std::vector<std::vector<Pair>> out(images.count);
    for_each_row(images.count, threads, [&] {
        return [&, own = std::vector<std::int32_t>(), other = std::vector<std::int32_t>(),
                set = std::vector<std::int32_t>()](std::size_t i) mutable {
            near.reciprocal(static_cast<std::int32_t>(i), k1 + 1, own);
            set = own;
            for (std::int32_t candidate : own) {
                near.reciprocal(candidate, half, other);
                if (3 * common(other, own) > 2 * other.size()) {
                    set.insert(set.end(), other.begin(), other.end());
                }
            }
            std::sort(set.begin(), set.end());
            set.erase(std::unique(set.begin(), set.end()), set.end());
            double sum = 0.0;
            for (std::int32_t j : set) {
                const float squared =
                    squared_distance(images.features + i * images.size,
                                     images.features + static_cast<std::size_t>(j) * images.size,
                                     images.size);
                const float w = std::exp(-squared / images.maxima[i]);
                out[i].emplace_back(w, j);
                sum += w;
            }
            for (Pair& p : out[i]) p.first = static_cast<float>(p.first / sum);
        };
    });
    return out;
}

// Eq. 11: local query expansion, the mean over the k2 nearest images.
std::vector<std::vector<Pair>> averaged(const std::vector<std::vector<Pair>>& rows,
                                        const Neighbours& near, std::size_t k2, unsigned threads) {
    std::vector<std::vector<Pair>> out(rows.size());
    for_each_row(rows.size(), threads, [&] {
        return [&, all = std::vector<Pair>()](std::size_t i) mutable {
            all.clear();
            const std::int32_t* row = near.of(static_cast<std::int32_t>(i));
            for (std::size_t n = 0; n < k2; ++n) {
                const auto& part = rows[static_cast<std::size_t>(row[n])];
                all.insert(all.end(), part.begin(), part.end());
            }
            std::stable_sort(all.begin(), all.end(),
                             [](const Pair& a, const Pair& b) { return a.second < b.second; });
            for (const Pair& p : all) {
                if (out[i].empty() || out[i].back().second != p.second) out[i].emplace_back(0.0f, p.second);
                out[i].back().first += p.first / static_cast<float>(k2);
            }
        };
    });
    return out;
}

}  // namespace

SparseRows encode(const Images& images, const std::int32_t* neighbours, std::size_t width,
                  std::size_t k1, std::size_t k2, unsigned threads) {
    const Neighbours near{neighbours, width};
    auto rows = weights(images, near, k1, threads);
    if (k2 > 1) rows = averaged(rows, near, k2, threads);
    return joined(rows);
}

SparseRows invert(const SparseRows& encoding, std::size_t first, std::size_t count,
                  std::size_t images) {
    const auto begin = static_cast<std::size_t>(encoding.offsets[first]);
    const auto end = static_cast<std::size_t>(encoding.offsets[first + count]);
    SparseRows out;
    out.offsets.assign(images + 1, 0);
    for (std::size_t e = begin; e < end; ++e) ++out.offsets[static_cast<std::size_t>(encoding.indices[e]) + 1];
    for (std::size_t i = 0; i < images; ++i) out.offsets[i + 1] += out.offsets[i];
    out.indices.resize(end - begin);
    out.values.resize(end - begin);
    std::vector<std::int64_t> at(out.offsets.begin(), out.offsets.end() - 1);
    for (std::size_t g = 0; g < count; ++g) {
        for (std::int64_t e = encoding.offsets[first + g]; e < encoding.offsets[first + g + 1]; ++e) {
            const auto place = static_cast<std::size_t>(
                at[static_cast<std::size_t>(encoding.indices[static_cast<std::size_t>(e)])]++);
            out.indices[place] = static_cast<std::int32_t>(g);
            out.values[place] = encoding.values[static_cast<std::size_t>(e)];
        }
    }
    return out;
}

void mix(float* block, std::size_t rows, std::size_t gallery, std::size_t first,
         std::size_t queries, const float* squares, float weight, const float* maxima,
         const SparseRows& encoding, const SparseRows& inverted, unsigned threads) {
    for_each_row(rows, threads, [&] {
        return [&, overlap = std::vector<float>(gallery)](std::size_t r) mutable {
            std::fill(overlap.begin(), overlap.end(), 0.0f);
            const std::size_t q = first + r;
            for (std::int64_t e = encoding.offsets[q]; e < encoding.offsets[q + 1]; ++e) {
                const auto target = static_cast<std::size_t>(encoding.indices[static_cast<std::size_t>(e)]);
                const float mine = encoding.values[static_cast<std::size_t>(e)];
                for (std::int64_t h = inverted.offsets[target]; h < inverted.offsets[target + 1]; ++h) {
                    const auto at = static_cast<std::size_t>(h);
                    overlap[static_cast<std::size_t>(inverted.indices[at])] += std::min(mine, inverted.values[at]);
                }
            }
            float* row = block + r * gallery;
            complete_distances(row, gallery, squares[q], squares + queries);
            const float scale = weight / maxima[q];
            for (std::size_t g = 0; g < gallery; ++g) {
                const float jaccard = 1.0f - overlap[g] / (2.0f - overlap[g]);
                row[g] = (1.0f - weight) * jaccard + scale * row[g];
            }
        };
    });
}

}  // namespace edgereid
